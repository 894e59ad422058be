import dataclasses
import time
from typing import ClassVar

import pytest
import torch

from robustpeft.attacks import FGSM, Course, Query, Search, State
from robustpeft.attacks.minimal_norm import smallest_found
from robustpeft.auditing import AuditPlan, Place, run_audit, smallest
from robustpeft.auditing.kept_files import pack_images
from robustpeft.records import norm_distribution
from robustpeft.report.worst_case import MainThreat, worst_case

PLAN = AuditPlan(
    epsilons=(0.02,),
    attacks=(FGSM(),),
    perturbations=(),
    images=None,
    gallery=0,
    checks="none",
    minimal_norms=True,
    batch_size=16,
)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_is_the_distance_to_the_plane_of_a_linear_model(make_linear, make_split, make_data, subject, norm):
    model, split = make_linear(2), make_split(n=40)
    (batch,) = split.batches(40)
    with torch.no_grad():
        logits = model(batch.images)
        dual = (model.weight[0] - model.weight[1]).norm(p=1 if norm == "linf" else 2)
    true = 2 * logits.gather(1, batch.labels[:, None]).squeeze(1) - logits.sum(dim=1)
    distance = (true / dual).clamp_min(0)
    record = run_audit(model, split, dataclasses.replace(PLAN, norm=norm), subject=subject, data=make_data())
    found = torch.tensor([row.smallest for row in record.rows])
    assert (found >= distance * (1 - 1e-4)).all()
    assert (found <= distance * 1.05 + 1e-6).all()
    assert torch.equal(found == 0, distance == 0)
    right = int((distance > 0).sum())
    assert (record.minimal.norm, record.minimal.forwards, record.minimal.backwards) == (norm, 102 * right, 100 * right)
    assert norm_distribution(record).points[-1][1].count == 40


def test_it_is_left_out_where_it_has_no_meaning(make_linear, make_split, make_data, subject):
    for changes in ({"norm": "l1", "epsilons": (1.0,)}, {"minimal_norms": False}, {"attacks": (), "epsilons": ()}):
        plan = dataclasses.replace(PLAN, **changes)
        record = run_audit(make_linear(2), make_split(n=10), plan, subject=subject, data=make_data())
        assert record.minimal is None
        assert all(row.smallest is None for row in record.rows)


def test_a_smaller_one_that_an_attack_found_counts(make_linear, make_split, make_data, subject):
    plan = dataclasses.replace(PLAN, epsilons=(0.001, 0.002, 0.2))
    record = run_audit(make_linear(2), make_split(n=40), plan, subject=subject, data=make_data())
    for row in record.rows:
        for epsilon in plan.epsilons:
            if row.predictions[f"fgsm@linf:{epsilon:g}"] != row.label:
                assert row.smallest <= epsilon * (1 + 1e-5)


@dataclasses.dataclass(frozen=True)
class Idle(Search[State]):
    """Looks at the clean image and gives up."""

    cost: ClassVar[str] = "1 forward"

    def course(self, classes):
        return Course(passes=1)

    def init(self, target):
        return State(step=torch.zeros_like(target.labels))

    def propose(self, target, state):
        return Query(target.images)

    def update(self, target, state, reply):
        return state


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_what_it_finds_within_a_radius_belongs_to_the_worst_case(norm, make_linear, make_split, make_data, subject):
    epsilons = (0.005, 0.02) if norm == "linf" else (0.05, 0.1)
    plan = dataclasses.replace(PLAN, norm=norm, epsilons=epsilons, attacks=(Idle(),))
    record = run_audit(make_linear(2), make_split(n=40), plan, subject=subject, data=make_data())
    turned = 0
    for epsilon in epsilons:
        found = record[f"minimal@{norm}:{epsilon:g}"]
        assert (found.kind, found.name, found.backwards) == ("attack", "fmn", 0)
        for row in record.rows:
            broken = row.predictions[found.key] != row.label
            assert broken == (row.smallest <= epsilon)
            turned += broken and row.smallest > 0
    assert turned > 0
    case = worst_case(record, MainThreat(norm, epsilons[-1]))
    assert case.correct.count == sum(row.smallest > epsilons[-1] for row in record.rows)


def test_no_second_is_counted_twice(make_linear, make_split, make_data, subject, monkeypatch):
    def slowly(*given, **named):
        time.sleep(0.2)
        return smallest_found(*given, **named)

    monkeypatch.setattr(smallest, "smallest_found", slowly)
    plan = dataclasses.replace(PLAN, epsilons=(0.005, 0.02), attacks=(Idle(),), batch_size=40)
    record = run_audit(make_linear(2), make_split(n=40), plan, subject=subject, data=make_data())
    assert record.minimal.seconds >= 0.2
    assert 0 < sum(m.seconds for m in record.of("attack", "fmn")) < 0.2  # the judge alone


def test_what_it_found_is_kept_for_whoever_wants_to_verify(make_linear, make_split, make_data, subject, tmp_path):
    plan = dataclasses.replace(PLAN, epsilons=(0.005, 0.02), attacks=(Idle(),))
    record = run_audit(
        make_linear(2), make_split(n=40), plan, subject=subject, data=make_data(), place=Place(tmp_path / "ledger")
    )
    files = pack_images(tmp_path / "ledger", tmp_path, plan.threats)
    wrong = [sum(0 < row.smallest <= e for row in record.rows) for e in plan.epsilons]
    assert [kept.images for kept in files] == [wrong[0], wrong[1] - wrong[0]]
