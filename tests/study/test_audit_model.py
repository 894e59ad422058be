import dataclasses

import pytest
import torch

import robustpeft as rp
from robustpeft.errors import UserError
from robustpeft.study.audit_model import default_plan, describe_subject
from robustpeft.types import L2, Linf

PLAN = rp.AuditPlan(epsilons=(0.05,), attacks=(rp.PGD(steps=2),), perturbations=(), gallery=0)


def test_clean_counts_equal_a_plain_loop(run, digits, tmp_path):
    record = rp.audit(run, digits, plan=PLAN, output=tmp_path)
    batch = next(digits.test.batches(40))
    with torch.no_grad():
        right = int((run.model(batch.images).argmax(1) == batch.labels).sum())
    assert record["clean"].correct == dataclasses.replace(record["clean"].correct, count=right, n=40)
    assert rp.read_record(tmp_path) == record


def test_a_path_is_audited_like_the_model(run, digits):
    one, two = (rp.audit(target, digits, plan=PLAN) for target in (run.path, run.model))
    assert one.rows == two.rows
    assert one.subject.method == {"name": "fulllora", **dataclasses.asdict(rp.FullLoRA(r=2))}


def test_the_subject_counts_what_was_trained(run):
    subject = describe_subject(run.model)
    handle = run.model.attachments[0]
    assert subject.label == "FullLoRA"
    assert subject.num_trained == handle.num_parameters
    assert subject.num_parameters == sum(p.numel() for p in run.model.parameters())
    assert subject.trained_threat == {"norm": "linf", "epsilon": 0.05}
    assert describe_subject(rp.load_backbone("digits_vit")).label == "undefended"


def test_permuted_and_missing_classes_are_told_apart(run, digits):
    permuted = dataclasses.replace(digits, classes=("1", "0", *digits.classes[2:]))
    with pytest.raises(UserError, match="another order than the model's: class 0 is '1' in the data and '0'"):
        rp.audit(run, permuted, plan=PLAN)
    renamed = dataclasses.replace(digits, classes=("zero", *digits.classes[1:]))
    with pytest.raises(UserError, match="not in both: 0, zero"):
        rp.audit(run, renamed, plan=PLAN)


def test_the_default_radii_follow_the_threat_tuned_for():
    assert default_plan(Linf(0.1)).epsilons == pytest.approx((0.025, 0.05, 0.1))
    assert default_plan(L2(2.0)).norm == "l2"
    assert default_plan(None).epsilons == pytest.approx((0.5 / 255, 1 / 255, 2 / 255))
