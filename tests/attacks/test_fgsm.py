import dataclasses

import pytest
import torch
from hypothesis import given, settings, strategies as st

from robustpeft.attacks import FGSM, PGD, AttackPlan, Driver
from robustpeft.types import L2, Linf


@given(st.integers(0, 10**6), st.floats(0.001, 0.6), st.sampled_from(["cross_entropy", "margin"]))
@settings(max_examples=25, deadline=None)
def test_on_a_linear_classifier_it_reaches_the_optimum_in_ball_and_box(linear_task, seed, epsilon, loss):
    model, images, labels = linear_task(seed)
    away = torch.where(labels == 0, 1.0, -1.0).reshape(-1, 1, 1, 1) * model.weight.detach().reshape(1, 3, 2, 2)
    optimum = (images + epsilon * away.sign()).clamp(0, 1)
    torch.testing.assert_close(FGSM(loss=loss)(model, images, labels, Linf(epsilon)), optimum, rtol=0, atol=1e-6)


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_in_l2_it_steps_along_the_weights_of_a_linear_classifier(linear_task, seed):
    model, images, labels = linear_task(seed, 0.3, 0.7)
    away = torch.where(labels == 0, 1.0, -1.0)[:, None] * model.weight.detach()
    optimum = images.flatten(1) + 0.2 * away / away.norm(dim=1, keepdim=True)
    found = FGSM()(model, images, labels, L2(0.2)).flatten(1)
    torch.testing.assert_close(found, optimum, rtol=0, atol=1e-6)


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.4)], ids=str)
def test_it_is_one_full_step_of_pgd_from_the_image(threat, linear_task):
    model, images, labels = linear_task(0)
    one_step = PGD(steps=1, step_size=threat.epsilon, random_start=False, keep="last")
    assert torch.equal(FGSM()(model, images, labels, threat), one_step(model, images, labels, threat))


def test_it_spends_one_forward_and_one_backward(linear_task):
    model, images, labels = linear_task(0)
    counts = {"forward": 0, "backward": 0}

    def counted(images):
        counts["forward"] += 1
        logits = model(images)
        logits.register_hook(lambda _: counts.update(backward=counts["backward"] + 1))
        return logits

    FGSM()(counted, images, labels, Linf(0.1))
    assert counts == {"forward": 1, "backward": 1}


def test_the_seed_has_no_effect(linear_task):
    model, images, labels = linear_task(0)
    found = [FGSM()(model, images, labels, Linf(0.1), seed=seed) for seed in (0, 1)]
    assert torch.equal(*found)


@pytest.mark.parametrize("norm", [Linf, L2])
def test_a_radius_costs_and_finds_the_same_beside_other_radii(norm, curved, split_of):
    model = curved()
    split = split_of(model)
    threats = tuple(norm(radius) for radius in (0.002, 0.02, 0.08))

    def ran(*threats):
        points = {}
        driver = Driver(slots=4, on_found=lambda image, stage, point: points.update({(image, stage.threat): point}))
        return driver.run(model, split, AttackPlan((FGSM(),), threats)).rows, points

    together, all_points = ran(*threats)
    before, carried = set(), 0
    for number, threat in enumerate(threats):
        alone, points = ran(threat)
        for (stage, image, run), row in alone.items():
            if image in before:  # found within a smaller radius, which carries upward
                carried += 1
                assert (stage, image, run) not in together or stage == "clean"
                continue
            beside = together[stage, image, run]
            assert dataclasses.replace(beside, seconds=0.0) == dataclasses.replace(row, seconds=0.0)
            if row.broken and stage != "clean":
                assert torch.equal(all_points[image, number], points[image, 0])
        before |= {row.image for row in alone.values() if row.broken and row.stage != "clean"}
    assert carried
    assert {(row.forwards, row.backwards) for row in together.values()} == {(1, 0), (2, 1)}
