"""Honest records that earlier versions wrote are confirmed; what was sealed since may not be left out."""

import dataclasses

import pytest

from robustpeft.attacks import FGSM, PGD
from robustpeft.auditing import AuditPlan
from robustpeft.auditing.consistency import Dossier, check_consistency

PLAN = AuditPlan(
    epsilons=(0.02, 0.05), attacks=(FGSM(),), perturbations=(), images=None, gallery=0, checks="none", transfer=False
)


def plan_finding(record, tmp_path):
    return next(f for f in check_consistency(Dossier(record, tmp_path, tmp_path)) if f.claim == "plan")


def resealed(record, **plan):
    seal = dataclasses.replace(record.seal, plan=dict(record.seal.plan) | plan, digest="")
    return dataclasses.replace(record, seal=seal)


def without(record, name):
    left = tuple(m for m in record.measurements if m.name != name)
    keys = {m.key for m in left}
    rows = tuple(
        dataclasses.replace(row, predictions={k: v for k, v in row.predictions.items() if k in keys})
        for row in record.rows
    )
    return dataclasses.replace(record, measurements=left, rows=rows)


def with_threats(record, change):
    measured = tuple(dataclasses.replace(m, threat=m.threat and change(m.threat)) for m in record.measurements)
    return dataclasses.replace(record, measurements=measured)


def test_what_fmn_finds_may_be_left_out_by_earlier_versions_alone(audit, make_linear, tmp_path):
    record = audit(make_linear(2), plan=dataclasses.replace(PLAN, minimal_norms=True))
    assert plan_finding(record, tmp_path).outcome == "confirmed"
    forged = plan_finding(without(record, "fmn"), tmp_path)
    assert (forged.outcome, "minimal@linf:0.02" in forged.says) == ("refuted", True)
    earlier = resealed(record, minimal_norms=True)
    assert plan_finding(earlier, tmp_path).outcome == "confirmed"
    assert plan_finding(without(earlier, "fmn"), tmp_path).outcome == "confirmed"


def test_the_widest_attack_is_held_against_the_ledger(audit, make_linear, tmp_path):
    record = audit(make_linear(2), plan=dataclasses.replace(PLAN, widest=(PGD(steps=7),)))
    assert plan_finding(record, tmp_path).outcome == "confirmed"
    assert plan_finding(without(record, "pgd"), tmp_path).outcome == "refuted"


@pytest.mark.parametrize(("norm", "outcome"), [("patch", "confirmed"), ("patch:share=0.2,row=0.5", "refuted")])
def test_fields_that_earlier_versions_did_not_write_have_their_defaults(norm, outcome, audit, make_linear, tmp_path):
    record = audit(make_linear(2), plan=dataclasses.replace(PLAN, norm=norm, epsilons=(0.5, 1.0)))
    assert plan_finding(record, tmp_path).outcome == "confirmed"
    earlier = with_threats(record, lambda threat: {"norm": threat["norm"], "epsilon": threat["epsilon"]})
    assert plan_finding(earlier, tmp_path).outcome == outcome
    other = with_threats(record, lambda threat: dict(threat) | {"share": 0.3})
    assert plan_finding(other, tmp_path).outcome == "refuted"
