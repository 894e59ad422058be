import dataclasses

import pytest

import robustpeft as rp
from robustpeft.attacks import AutoAttack
from robustpeft.errors import UserError
from robustpeft.study.profiles import PROFILES, estimate, in_words, with_profile

PLAN = rp.AuditPlan(epsilons=(0.05, 0.1), attacks=(rp.PGD(steps=2),), perturbations=(), images=20)


def test_quick_keeps_the_attacks_and_standard_adds_autoattack_within_the_largest_radius():
    assert with_profile(PLAN, "quick") == PLAN
    standard = with_profile(PLAN, "standard")
    assert standard.widest == (AutoAttack(),)
    assert len(standard.attacks) > 1
    assert not any(isinstance(attack, AutoAttack) for attack in standard.attacks)
    assert with_profile(standard, "full").widest == ()
    blind = with_profile(standard, "standard", gradients=False)
    assert (blind.widest, [type(attack) for attack in blind.attacks]) == ((), [rp.Square])
    assert (standard.images, standard.checks, standard.epsilons) == (1000, "standard", PLAN.epsilons)
    assert with_profile(PLAN, "full").images is None


def test_a_plan_is_told_in_words():
    assert in_words(with_profile(PLAN, "standard")) == (
        "fgsm and pgd within every radius, autoattack within the largest, square (5,000 questions) within the largest "
        "on at most 64 images"
    )
    assert in_words(dataclasses.replace(PLAN, epsilons=(0.1,))) == "pgd within the radius"
    assert "autoattack" not in in_words(with_profile(dataclasses.replace(PLAN, norm="l1"), "standard"))
    assert in_words(dataclasses.replace(PLAN, attacks=())) == "no attacks"


@pytest.mark.parametrize("name", PROFILES)
def test_other_norms_have_no_autoattack(name):
    plan = with_profile(dataclasses.replace(PLAN, norm="l1"), name)
    assert not any(isinstance(attack, AutoAttack) for attack in plan.searches)


def test_an_unknown_profile_is_refused():
    with pytest.raises(UserError, match="did you mean 'standard'"):
        with_profile(PLAN, "standart")


def test_the_estimate_counts_passes(digits):
    model = rp.load_backbone("digits_vit")
    found = estimate(model, digits.test, dataclasses.replace(PLAN, checks="none"), 10)
    # 20 images: 1 clean forward, and at two radii 3 forwards and 2 backwards.
    assert found.passes == 20 * (1 + 2 * 5)
    assert found.seconds == pytest.approx(found.passes * found.seconds_a_pass)
    assert 0 < found.seconds_a_pass < 1
    more = estimate(model, digits.test, dataclasses.replace(PLAN, checks="none", images=None), 10)
    assert more.passes == 40 * 11
    widest = dataclasses.replace(PLAN, checks="none", widest=(rp.PGD(steps=3),))
    assert estimate(model, digits.test, widest, 10).passes == 20 * (11 + 7)
    assert estimate(model, digits.test, PLAN, 10).passes > found.passes
    asked = dataclasses.replace(PLAN, checks="none", black_box=(rp.Square(queries=99),))
    for part, questions in ((None, 20), (7, 7), (30, 20)):
        plan = dataclasses.replace(asked, black_box_images=part)
        assert estimate(model, digits.test, plan, 10).passes == found.passes + questions * 100


def test_who_pays_for_questions_and_smallest_perturbations():
    quick, standard, full = (with_profile(PLAN, name) for name in ("quick", "standard", "full"))
    assert quick.black_box == ()
    assert (standard.black_box_images, with_profile(standard, "full").black_box_images) == (64, None)
    assert [attack.course(10).passes for attack in standard.black_box] == [5000]
    assert [attack.course(10).labels_only for attack in full.black_box] == [False, True]
    assert (quick.minimal_norms, standard.minimal_norms, full.minimal_norms) == (False, False, True)
    other = with_profile(dataclasses.replace(PLAN, norm="l1"), "full")
    assert not other.minimal_norms
    assert not any(attack.course(10).labels_only for attack in other.black_box)
