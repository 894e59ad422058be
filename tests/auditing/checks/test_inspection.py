import dataclasses
from collections import Counter

import pytest
import torch

from robustpeft.auditing import AuditedData, run_audit
from robustpeft.auditing.checks import CHECKS, Inspection, Question
from robustpeft.auditing.checks.inspection import Entry, _asked
from robustpeft.errors import UserError
from robustpeft.records import Subject

DATA = AuditedData("toys", "test", ("a", "b", "c"))
SUBJECT = Subject("toy", "toy", "0" * 64, 1, 4)


@pytest.fixture
def audit(make_split, plan):
    def run(model, **changes):
        return run_audit(model, make_split(), dataclasses.replace(plan, **changes), subject=SUBJECT, data=DATA)

    return run


def test_every_question_is_asked_once_and_answered_in_order(audit, honest):
    record = audit(honest(), checks="brief")
    keys = [question.key for entry in CHECKS for question in entry.questions]
    assert [check.key for check in record.checks] == keys
    assert max(Counter(keys).values()) == 1
    assert len(keys) >= 40


def test_an_honest_model_fails_nothing(audit, honest):
    failed = [check for check in audit(honest(), checks="brief").checks if check.verdict == "fail"]
    assert failed == []


def test_none_asks_nothing(audit, honest):
    assert audit(honest(), checks="none").checks == ()


def test_checks_change_neither_counts_nor_chance(audit, honest):
    state = torch.get_rng_state()
    with_checks, without = audit(honest(), checks="brief"), audit(honest(), checks="none")
    assert with_checks.rows == without.rows
    assert torch.equal(torch.get_rng_state(), state)


def test_what_fails_early_is_said_at_once(make_case, around, caplog):
    case = make_case(around(after=lambda logits: logits.softmax(dim=1)), attacked=False)
    Inspection.begin(case.model, case.setting, case.plan, case.subject)
    assert "The model returns logits, not probabilities: this does not hold" in caplog.text


def test_a_check_that_cannot_be_made_is_in_doubt_and_costs_no_audit(make_case):
    def raises(case):
        raise UserError("no such thing")

    one, two = Question("one", "One", "strength"), Question("two", "Two", "integrity")
    answers = _asked(Entry((one, two), raises), make_case(attacked=False))
    assert [(a.key, a.verdict) for a in answers] == [("one", "warn"), ("two", "warn")]
    assert "no such thing" in answers[0].evidence


def test_validation_counts_of_the_tuning_are_compared(make_split, plan, honest):
    tuned = dataclasses.replace(SUBJECT, tuning={"validation_correct": 500, "validation_images": 500})
    brief = dataclasses.replace(plan, checks="brief")
    record = run_audit(honest(), make_split(), brief, subject=tuned, data=DATA)
    (check,) = [check for check in record.checks if check.key == "clean_accuracy"]
    assert check.verdict == "pass"
    assert "500 of 500 validation images" in check.evidence
