import pytest
import torch
from hypothesis import given, strategies as st

from robustpeft.attacks import ATTACKS, FGSM, PGD, AttackPlan
from robustpeft.attacks.findings import Findings, clean_extra, read_clean_extra
from robustpeft.records import LedgerRow
from robustpeft.types import L2, Linf

PLAN = AttackPlan((FGSM(), PGD(restarts=2)), (Linf(0.1), L2(0.1), Linf(0.2)))
STAGES = PLAN.stages(10, dict(ATTACKS))


def row(image, stage="clean", run=0, broken=False):
    return LedgerRow(image, stage, run, broken, int(broken), 3, 0.5 if broken else -0.5)


@pytest.fixture
def findings():
    """Image 1 breaks at once, 2 within the larger ball, 3 by PGD in L2, 4 never; 5 is wrong as it is."""
    found = Findings(PLAN, STAGES)
    found.add(row(image, broken=image == 5) for image in range(1, 6))
    found.add([row(1, "0.fgsm@linf 0.1", broken=True), row(2, "0.fgsm@linf 0.1"), row(2, "0.fgsm@linf 0.2", 0, True)])
    found.add([row(3, "1.pgd@l2 0.1"), row(3, "1.pgd@l2 0.1", 1, True), row(4, "1.pgd@l2 0.1")])
    return found


def test_what_breaks_an_image_breaks_it_within_every_larger_ball_of_that_norm(findings):
    assert [findings.broke(1, 0, threat) is not None for threat in range(3)] == [True, False, True]
    assert [findings.broke(2, 0, threat) is not None for threat in range(3)] == [False, False, True]
    assert findings.broke(1, 0, 2).stage == "0.fgsm@linf 0.1"
    assert findings.broke(1, 1, 2) is None


def test_a_later_run_breaks_it_too(findings):
    assert findings.broke(3, 1, 1).run == 1
    assert findings.worst(3, 1).stage == "1.pgd@l2 0.1"
    assert findings.worst(3, 0) is None


def test_correct_is_correct_clean_and_under_the_attack(findings):
    ids = [5, 4, 3, 2, 1, 6]
    held = [findings.correct(ids, attack, threat).tolist() for attack in (0, 1, None) for threat in range(3)]
    yes = {0: "4 3 2", 1: "4 3 2 1", 2: "4 3", 3: "4 3 2 1", 4: "4 2 1", 5: "4 3 2 1", 6: "4 3 2", 7: "4 2 1", 8: "4 3"}
    assert held == [[str(image) in yes[number].split() for image in ids] for number in range(9)]


def test_an_image_found_against_another_model_counts_within_every_larger_ball_of_its_norm(findings):
    findings.add([row(4, "sibling@linf 0.2", broken=True), row(3, "sibling@l2 0.1", broken=True)])
    findings.add([row(2, "sibling@linf 0.1", broken=True), row(1, "sibling@linf 0.1")])
    yes = {1: [], 2: [0, 2], 3: [1], 4: [2]}
    assert {i: [t for t in range(3) if findings.candidate(i, t) is not None] for i in (1, 2, 3, 4)} == yes
    assert findings.worst(4, 2).stage == "sibling@linf 0.2"
    assert findings.broke(4, 0, 2) == findings.broke(4, 1, 2) == findings.worst(4, 2)


def test_runs_are_counted_in_order(findings):
    stage = "1.pgd@l2 0.1"
    assert [findings.runs_done(image, stage, 2) for image in (3, 4, 1)] == [2, 1, 0]
    assert findings.runs_done(3, stage, 1) == 1
    findings.add([row(1, stage, 1)])
    assert findings.runs_done(1, stage, 2) == 0


def test_rows_given_at_once_are_those_added_one_by_one(findings):
    again = Findings(PLAN, STAGES, findings.rows)
    assert again.rows == findings.rows
    assert again.broke(3, 1, 1) == findings.broke(3, 1, 1) is not None


@given(st.integers(-(2**63), 2**63 - 1), st.lists(st.floats(width=32), min_size=1, max_size=5))
def test_what_a_clean_row_keeps_is_read_bit_for_bit(content, logits):
    known, read = read_clean_extra(clean_extra(content, torch.tensor(logits)))
    assert int(known, 16) == content % 2**64
    assert len(known) == 16
    assert torch.equal(read.view(torch.int32), torch.tensor(logits).view(torch.int32))
