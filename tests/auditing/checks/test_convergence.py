import dataclasses

import pytest

from robustpeft.attacks import APGD, FGSM, PGD
from robustpeft.auditing.checks import convergence
from robustpeft.auditing.specimens.decoy import _with_a_decoy

FEW = PGD(steps=2, step_size=1e-5, random_start=False)


@pytest.fixture
def weak(plan):
    """A plan whose only ascent hardly moves."""
    return dataclasses.replace(plan, attacks=(FEW,), epsilons=(0.03,))


@pytest.mark.parametrize("ask", [convergence.several_steps_win, convergence.more_steps, convergence.more_starts])
def test_an_honest_audit_passes(make_case, plan, ask):
    enough = dataclasses.replace(plan, attacks=(*plan.attacks, PGD(steps=40, restarts=2, loss="margin")))
    assert ask(make_case(plan=enough)).verdict == "pass"


def test_one_step_that_breaks_more_is_noticed(make_case, weak):
    assert convergence.several_steps_win(make_case(plan=weak)).verdict == "fail"
    with_fgsm = dataclasses.replace(weak, attacks=(FGSM(), FEW))
    answer = convergence.several_steps_win(make_case(plan=with_fgsm))
    assert answer.verdict == "fail"
    assert "fall to one step alone" in answer.evidence


def test_steps_that_were_too_few_are_noticed(make_case, weak):
    early = dataclasses.replace(weak, attacks=(PGD(steps=1, step_size=0.015, random_start=False),), epsilons=(0.03,))
    assert convergence.more_steps(make_case(plan=early)).verdict == "not_applicable"  # one step is no ascent
    early = dataclasses.replace(early, attacks=(PGD(steps=2, step_size=0.004, random_start=False),))
    assert convergence.more_steps(make_case(plan=early)).verdict == "fail"


def test_a_start_that_matters_is_noticed(make_case, weak):
    answer = convergence.more_starts(make_case(plan=weak))
    assert answer.verdict in ("warn", "fail")


def test_step_sizes_are_tried_where_the_effort_allows_it(make_case, weak):
    case = make_case(plan=weak)
    assert convergence.step_sizes(case).verdict == "not_applicable"
    swept = dataclasses.replace(case, effort=dataclasses.replace(case.effort, sweep=True))
    assert convergence.step_sizes(swept).verdict == "fail"


def test_a_class_that_leads_nowhere_is_noticed(make_case, around, plan):
    attacks = (PGD(steps=20), PGD(steps=40, restarts=2, loss="margin"))
    plan = dataclasses.replace(plan, attacks=attacks)
    led_astray = make_case(around(after=_with_a_decoy), plan=plan)
    assert convergence.other_targets(led_astray).verdict == "fail"
    assert "APGD towards each of 2 wrong classes" in convergence.other_targets(led_astray).evidence
    assert convergence.other_targets(make_case(plan=plan)).verdict == "pass"


def test_a_plan_that_goes_towards_single_classes_is_not_asked(make_case, plan):
    own = dataclasses.replace(plan, attacks=(*plan.attacks, APGD(steps=3, loss="targeted_margin")))
    assert "itself" in convergence.other_targets(make_case(plan=own)).evidence


def test_without_an_ascent_nothing_is_asked(make_case, plan):
    case = make_case(plan=dataclasses.replace(plan, attacks=(FGSM(),)))
    asked = (
        convergence.several_steps_win,
        convergence.more_steps,
        convergence.more_starts,
        convergence.step_sizes,
        convergence.other_targets,
    )
    assert {ask(case).verdict for ask in asked} == {"not_applicable"}
