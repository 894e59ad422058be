import dataclasses

import pytest
import torch

from robustpeft.attacks import PGD, HardLabel, Square
from robustpeft.auditing.checks import other_routes
from robustpeft.auditing.effort import Effort

METHOD = {"name": "toy"}
WEIGHT = 0.05 * torch.randn(108, 3, generator=torch.Generator().manual_seed(1))


def test_an_honest_audit_passes(make_case, adapted):
    case = make_case(adapted(lambda images: (images - 0.5).flatten(1) @ WEIGHT), method=METHOD)
    answers = [other_routes.gradient_free(case), other_routes.noise(case), other_routes.transfer(case)[0]]
    assert {answer.verdict for answer in answers} == {"pass"}


@pytest.fixture
def hidden(around, masked):
    return around(before=lambda x: masked(x, -1.0))


def test_what_only_queries_break_is_noticed(make_case, hidden, plan):
    wide = dataclasses.replace(plan, epsilons=(0.03,), attacks=(PGD(steps=5, random_start=False),))
    assert other_routes.gradient_free(make_case(hidden, plan=wide)).verdict == "fail"
    both = dataclasses.replace(wide, attacks=(*wide.attacks, Square(queries=40)))
    answer = other_routes.gradient_free(make_case(hidden, plan=both))
    assert answer.verdict == "fail"
    assert "attacks along gradients did not" in answer.evidence


def test_what_noise_breaks_is_noticed(make_case, hidden, plan):
    wide = dataclasses.replace(plan, epsilons=(0.2,), attacks=(PGD(steps=5, random_start=False),))
    assert other_routes.noise(make_case(hidden, plan=wide)).verdict == "fail"


def test_what_transfers_from_the_model_without_its_adapter_is_noticed(make_case, adapted, masked, plan, honest):
    inner = honest()
    # The adapter takes the honest gradient away and gives the opposite one instead; its values are 0.
    hiding = adapted(lambda images: inner(masked(images, -3.0)) - inner(images.detach()))
    wide = dataclasses.replace(plan, epsilons=(0.03,), attacks=(PGD(steps=5, random_start=False),))
    more, undefended = other_routes.transfer(make_case(hiding, plan=wide, method=METHOD))
    assert more.verdict == "fail"
    assert undefended.verdict == "pass"


def test_an_attack_that_does_not_break_the_undefended_model_is_in_doubt(make_case, adapted, plan):
    small = dataclasses.replace(plan, epsilons=(1e-6,))
    model = adapted(lambda images: (images - 0.5).flatten(1) @ WEIGHT)
    assert other_routes.transfer(make_case(model, plan=small, method=METHOD))[1].verdict == "warn"


def test_without_attacks_or_adapter_nothing_is_asked(make_case, plan):
    case = make_case(plan=dataclasses.replace(plan, attacks=()))
    answers = [other_routes.gradient_free(case), other_routes.noise(case), *other_routes.transfer(case)]
    assert {answer.verdict for answer in answers} == {"not_applicable"}
    assert other_routes.transfer(make_case())[0].verdict == "not_applicable"


def test_what_falls_to_labels_alone_was_not_robust(make_case, around, masked, plan):
    full = Effort(images=24, draws=6, queries=400, labels=True)
    assert other_routes.hard_label(make_case()).verdict == "not_applicable"  # tried in the profile full
    lying = around(before=lambda x: masked(x, -1.0))
    sampled = other_routes.hard_label(make_case(lying, effort=full))
    assert sampled.verdict == "fail"
    assert "by labels" in sampled.evidence
    planned = dataclasses.replace(plan, black_box=(HardLabel(queries=400),))
    assert other_routes.hard_label(make_case(lying, plan=planned)).verdict == "fail"
    assert other_routes.hard_label(make_case(plan=planned)).verdict == "pass"


def test_the_questions_of_the_plan_are_not_asked_again(make_case, around, masked, plan):
    planned = dataclasses.replace(plan, black_box=(Square(queries=60),))
    answer = other_routes.gradient_free(make_case(plan=planned))
    assert answer.verdict == "pass"
    assert "of 48 images" in answer.evidence
    assert (
        other_routes.gradient_free(make_case(around(before=lambda x: masked(x, -1.0)), plan=planned)).verdict == "fail"
    )


def test_of_a_part_of_the_images_that_part_is_counted_and_survivors_are_searched_beside(
    make_case, around, masked, plan
):
    """Square sees every image, labels alone five: each check names its own number."""
    planned = dataclasses.replace(
        plan, attacks=(*plan.attacks, Square(queries=60)), black_box=(HardLabel(queries=60),), black_box_images=5
    )
    case = make_case(plan=planned)
    assert "of 48 images" in other_routes.gradient_free(case).evidence
    assert "of 5 images" in other_routes.hard_label(case).evidence
    alone = dataclasses.replace(plan, black_box=(Square(queries=60),), black_box_images=1)
    sampled = other_routes.gradient_free(make_case(around(before=lambda x: masked(x, -1.0)), plan=alone))
    assert sampled.verdict == "fail"
    assert "of 1 images" not in sampled.evidence
