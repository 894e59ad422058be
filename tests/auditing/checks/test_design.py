import dataclasses

from robustpeft.attacks import FGSM, PGD, Square
from robustpeft.auditing.checks import design

TRAINED = {"name": "pgd_at", "attack": {"name": "pgd", "steps": 5, "loss": "cross_entropy"}}


def with_attacks(make_case, plan, *attacks, **changes):
    return make_case(plan=dataclasses.replace(plan, attacks=attacks), **changes)


def test_a_single_step_is_not_enough(make_case, plan):
    assert design.beyond_one_step(with_attacks(make_case, plan, FGSM(), attacked=False)).verdict == "fail"
    for more in (PGD(steps=5), Square(queries=5)):
        assert design.beyond_one_step(with_attacks(make_case, plan, FGSM(), more, attacked=False)).verdict == "pass"


def test_the_attack_of_tuning_alone_is_in_doubt(make_case, plan):
    def asked(*attacks, objective=TRAINED):
        case = with_attacks(make_case, plan, *attacks, attacked=False, objective=objective)
        return design.not_the_training_attack(case).verdict

    assert asked(FGSM(), PGD(steps=20)) == "warn"
    assert asked(PGD(steps=20), PGD(steps=20, loss="margin")) == "pass"
    assert asked(PGD(steps=20), objective=None) == "not_applicable"


def test_attacks_of_one_kind_that_break_the_same_are_in_doubt(make_case, plan):
    alike = with_attacks(make_case, plan, PGD(steps=20), PGD(steps=21))
    assert design.unlike_attacks(alike).verdict == "warn"
    unlike = with_attacks(make_case, plan, PGD(steps=20), PGD(steps=20, loss="margin"))
    assert design.unlike_attacks(unlike).verdict == "pass"
    nothing_held = make_case(plan=dataclasses.replace(plan, attacks=(PGD(steps=20),), epsilons=(0.1,)))
    assert design.unlike_attacks(nothing_held).verdict == "pass"


def test_losses_are_named_beside_the_classes(make_case):
    answer = design.class_count(make_case(attacked=False))
    assert answer.verdict == "pass"
    assert answer.evidence == "3 classes; losses that were named: cross_entropy, margin."
