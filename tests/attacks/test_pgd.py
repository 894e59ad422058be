import dataclasses

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn
from torch.nn import functional as F

from robustpeft.attacks import FGSM, PGD, Target, margin
from robustpeft.types import L2, Linf, Noise, UserError, content_ids


class Curved(nn.Module):
    """Four classes, and a loss that goes up and down within the ball."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.inner = nn.Parameter(8 * torch.randn(16, 48, generator=generator))
        self.outer = nn.Parameter(torch.randn(4, 16, generator=generator))

    def forward(self, images):
        return torch.sin(images.flatten(1) @ self.inner.T) @ self.outer.T


@pytest.fixture(scope="module")
def curved():
    return Curved()


@pytest.fixture(scope="module")
def images():
    return torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(4))


@pytest.fixture(scope="module")
def labels():
    return torch.tensor([0, 1, 2, 3, 0])


def reference(model, images, labels, epsilon, steps, restarts, seed, *, momentum=0.0, targeted=False):
    """Return the best iterate of PGD under Linf, written down once more."""
    best, best_margin = images, torch.full((len(images),), -torch.inf)
    rows = torch.arange(len(images))
    likely = model(images).scatter(1, labels[:, None], -torch.inf).argsort(1, descending=True)[:, :-1]  # wrong ones
    tried = likely.shape[1] if targeted else 1
    for run in range(restarts * tried):
        start = (Noise(seed, content_ids(images), "PGD", run).uniform(images.shape[1:]) * 2 - 1) * epsilon
        x, velocity = images + start, torch.zeros_like(images)
        for step in range(steps + 1):
            x = (images + (x - images).clamp(-epsilon, epsilon)).clamp(0, 1).requires_grad_()
            logits = model(x)
            others = logits.masked_fill(F.one_hot(labels, logits.shape[1]).bool(), -torch.inf)
            now = (others.max(1).values - logits[rows, labels]).detach()
            best = torch.where((now > best_margin)[:, None, None, None], x.detach(), best)
            best_margin = torch.maximum(now, best_margin)
            if step < steps:
                loss = (logits[rows, likely[:, run % tried]] - logits[rows, labels]).sum()
                loss = loss if targeted else F.cross_entropy(logits, labels, reduction="sum")
                (gradient,) = torch.autograd.grad(loss, x)
                velocity = momentum * velocity + gradient / gradient.abs().mean((1, 2, 3), keepdim=True)
                x = x.detach() + 2.5 * epsilon / steps * velocity.sign()
    return best


@pytest.mark.parametrize(("steps", "restarts"), [(1, 1), (7, 1), (6, 3)])
def test_it_equals_the_loop_written_down_once_more_bit_for_bit(curved, images, labels, steps, restarts):
    found = PGD(steps=steps, restarts=restarts)(curved, images, labels, Linf(0.1), seed=5)
    assert torch.equal(found, reference(curved, images, labels, 0.1, steps, restarts, seed=5))


@pytest.mark.parametrize("restarts", [1, 2])
@pytest.mark.parametrize("momentum", [0.0, 0.7])
@pytest.mark.parametrize("targeted", [False, True])
def test_with_momentum_or_towards_every_wrong_class_it_equals_that_loop_too(
    curved, images, labels, restarts, momentum, targeted
):
    attack = PGD(steps=6, restarts=restarts, momentum=momentum, loss="targeted_margin" if targeted else "cross_entropy")
    wanted = reference(curved, images, labels, 0.1, 6, restarts, seed=5, momentum=momentum, targeted=targeted)
    assert torch.equal(attack(curved, images, labels, Linf(0.1), seed=5), wanted)
    if momentum:
        plain = dataclasses.replace(attack, momentum=0.0)
        assert not torch.equal(plain(curved, images, labels, Linf(0.1), seed=5), wanted)


@given(st.integers(0, 10**6), st.floats(0.001, 0.6), st.sampled_from(["best", "last"]), st.booleans())
@settings(max_examples=20, deadline=None)
def test_on_a_linear_classifier_it_reaches_the_optimum_in_ball_and_box(linear_task, seed, epsilon, keep, random_start):
    model, images, labels = linear_task(seed)
    away = torch.where(labels == 0, 1.0, -1.0).reshape(-1, 1, 1, 1) * model.weight.detach().reshape(1, 3, 2, 2)
    optimum = (images + epsilon * away.sign()).clamp(0, 1)
    found = PGD(steps=10, keep=keep, random_start=random_start)(model, images, labels, Linf(epsilon), seed=seed)
    torch.testing.assert_close(margin(model(found), labels), margin(model(optimum), labels), rtol=0, atol=1e-5)
    if keep == "last":  # the best one may be an equally good one, at pixels whose weight rounds away
        torch.testing.assert_close(found, optimum, rtol=0, atol=1e-6)


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_in_l2_it_reaches_the_margin_of_the_straight_way(linear_task, seed):
    model, images, labels = linear_task(seed, 0.3, 0.7)
    found = PGD(steps=60, step_size=0.05)(model, images, labels, L2(0.2), seed=seed)
    wanted = margin(model(images), labels) + 0.2 * model.weight.norm()
    torch.testing.assert_close(margin(model(found), labels), wanted, rtol=0, atol=1e-5)


def test_one_step_with_the_last_kept_is_the_random_start_plus_one_step(curved, images, labels):
    epsilon = 0.1
    found = PGD(steps=1, step_size=0.03, keep="last")(curved, images, labels, Linf(epsilon), seed=9)
    noise = Noise(9, content_ids(images), "PGD").uniform((3, 4, 4)) * 2 - 1
    start = (images + epsilon * noise).clamp(0, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(curved(start), labels), start)
    wanted = images + (start.detach() + 0.03 * gradient.sign() - images).clamp(-epsilon, epsilon)
    torch.testing.assert_close(found, wanted.clamp(0, 1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("threat", [Linf(0.2), L2(0.8)], ids=str)
@pytest.mark.parametrize("restarts", [1, 3])
def test_the_best_is_never_worse_than_any_iterate_the_last_included(curved, images, labels, threat, restarts, recorded):
    recorder = recorded(curved)
    attack = PGD(steps=6, step_size=threat.epsilon / 2, restarts=restarts)
    found = attack(recorder, images, labels, threat)
    margins = torch.stack([margin(curved(seen), labels) for seen in recorder.seen])
    assert torch.equal(margin(curved(found), labels), margins.amax(0))
    best_step = margins.argmax(0)
    assert not (best_step == len(recorder.seen) - 1).all()  # else the test would not tell best from last


def test_the_end_point_is_judged_too(linear_task):
    model, images, labels = linear_task(0)  # linear, so the loss grows with every step and the last one is the best
    slow = PGD(steps=3, step_size=0.01)
    last = dataclasses.replace(slow, keep="last")
    assert torch.equal(slow(model, images, labels, Linf(0.3)), last(model, images, labels, Linf(0.3)))


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.5)], ids=str)
def test_more_restarts_never_hurt_any_image(curved, images, labels, threat):
    margins = [
        margin(curved(PGD(steps=5, restarts=restarts)(curved, images, labels, threat)), labels)
        for restarts in (1, 2, 6)
    ]
    assert (margins[1] >= margins[0]).all()
    assert (margins[2] >= margins[1]).all()
    assert (margins[2] > margins[0]).any()


def test_without_random_start_it_is_never_worse_than_the_image_itself(curved, images, labels):
    found = PGD(steps=5, random_start=False)(curved, images, labels, Linf(0.1))
    assert (margin(curved(found), labels) >= margin(curved(images), labels)).all()


def test_it_is_at_least_as_strong_as_one_step_on_each_image(curved, images, labels):
    threat = Linf(0.02)
    strong = PGD(steps=40, restarts=4)(curved, images, labels, threat)
    weak = FGSM()(curved, images, labels, threat)
    assert (margin(curved(strong), labels) >= margin(curved(weak), labels)).all()


@pytest.mark.parametrize(
    ("attack", "forwards", "backwards"),
    [
        (PGD(steps=4), 5, 4),
        (PGD(steps=4, keep="last"), 4, 4),
        (PGD(steps=3, restarts=5), 20, 15),
        (PGD(steps=3, loss="margin", random_start=False), 4, 3),
        (PGD(steps=2, samples=3), 9, 6),
    ],
)
def test_the_passes_are_those_it_says(curved, images, labels, attack, forwards, backwards, recorded):
    recorder = recorded(curved)
    attack(recorder, images, labels, Linf(0.1))
    assert (len(recorder.seen), recorder.backwards) == (forwards, backwards)


def test_another_seed_or_id_is_another_start_and_the_same_id_the_same(curved, images, labels):
    attack = PGD(steps=1, keep="last")
    found = attack(curved, images, labels, Linf(0.1))
    assert not torch.equal(found, attack(curved, images, labels, Linf(0.1), seed=1))
    same, label = images[:1].expand(3, -1, -1, -1), labels[:1].expand(3)
    by_id = attack(curved, same, label, Linf(0.1), ids=torch.tensor([7, 8, 7]))
    assert torch.equal(by_id[0], by_id[2])
    assert not torch.equal(by_id[0], by_id[1])


def test_the_default_step_size_crosses_the_ball(linear_task):
    model, images, labels = linear_task(1, 0.4, 0.6)
    assert torch.equal(
        PGD(steps=8)(model, images, labels, Linf(0.08)),
        PGD(steps=8, step_size=2.5 * 0.08 / 8)(model, images, labels, Linf(0.08)),
    )


def test_the_loss_decides_where_it_goes(curved, images, labels):
    by_margin = PGD(steps=3, loss="margin", keep="last")(curved, images, labels, Linf(0.1))
    assert not torch.equal(by_margin, PGD(steps=3, keep="last")(curved, images, labels, Linf(0.1)))


@pytest.mark.parametrize(("classes", "tried"), [(2, 1), (5, 4), (10, 9), (12, 9)])
def test_every_restart_goes_towards_the_nine_likeliest_wrong_classes_once_each(images, labels, classes, tried):
    attack, labels = PGD(steps=1, restarts=2, loss="targeted_margin"), labels % 2
    assert attack.course(classes).runs == 2 * tried
    assert PGD(restarts=2).course(classes).runs == 2
    clean = torch.randn(5, classes, generator=torch.Generator().manual_seed(0))
    target = Target(images, labels, Linf(0.1), Noise(0, torch.arange(5), "PGD"), clean)
    likely = clean.scatter(1, labels[:, None], -torch.inf).argsort(1, descending=True)[:, :tried]
    found = torch.stack([attack.init(target.at(run)).targets for run in range(2 * tried)], dim=1)
    assert torch.equal(found, likely.repeat(1, 2))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"restarts": 0}, "restarts must be at least 1; got 0"),
        ({"samples": 0}, "samples must be at least 1; got 0"),
        ({"step_size": 0.0}, "step_size must be above 0, in pixel units"),
        ({"step_size": -0.1}, "step_size must be above 0, in pixel units"),
        ({"step_size": float("nan")}, "step_size must be a finite number; got nan"),
        ({"step_size": float("inf")}, "step_size must be a finite number; got inf"),
        ({"keep": "final"}, "keep must be 'best' or 'last'; got 'final'"),
        ({"keep": "last", "restarts": 2}, "forgets every restart but one"),
        ({"keep": "last", "loss": "targeted_margin"}, "forgets every restart but one"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\); got 1"),
        ({"momentum": -0.1}, r"momentum must be in \[0, 1\); got -0.1"),
        ({"restarts": 2, "random_start": False}, "repeat the same search"),
    ],
)
def test_hyper_parameters_that_mean_nothing_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        PGD(**fields)


def test_a_step_size_in_units_of_255_is_refused_under_linf_but_may_be_large_in_l2(curved, images, labels):
    with pytest.raises(UserError, match=r"did you mean 2 / 255\?"):
        PGD(step_size=2)(curved, images, labels, Linf(8 / 255))
    PGD(steps=1, step_size=1)(curved, images, labels, Linf(8 / 255))  # from black to white
    found = PGD(steps=2, step_size=2)(curved, images, labels, L2(3.0))
    assert L2(3.0).size(found - images).max() <= 3.0 + 1e-5


def test_logits_that_stop_being_finite_at_the_end_point_are_noticed(curved, images, labels):
    calls = []

    def fails_late(x):
        calls.append(len(x))
        return curved(x) * (1.0 if len(calls) < 4 else torch.nan)

    with pytest.raises(UserError, match="not finite"):
        PGD(steps=3)(fails_late, images, labels, Linf(0.1))
    assert len(calls) == 4
