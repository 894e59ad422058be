import dataclasses

import pytest
import torch

import robustpeft as rp
from robustpeft.errors import UserError
from robustpeft.pet import METHOD_AXIS
from robustpeft.study.audit_model import default_plan, describe_subject
from robustpeft.types import L2, Linf, to_plain

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
    assert one.subject.method == to_plain(rp.FullLoRA(r=2), (METHOD_AXIS,))


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


def test_images_met_in_tuning_are_said_and_noted(run, digits, caplog):
    leaky = dataclasses.replace(digits, test=digits.train.take(20))
    record = rp.audit(run.path, leaky, plan=PLAN)
    assert "20 of 20 images have ids that the model was tuned on" in record.data.note
    assert "20 of 20 images" in caplog.text
    assert "tuned on" not in rp.audit(run.path, digits, plan=PLAN).data.note


def test_a_torch_data_set_is_all_test_images(run):
    images = torch.rand(12, 3, 16, 16)
    data = torch.utils.data.TensorDataset(images, torch.arange(12) % 10)
    model = rp.load_backbone("digits_vit")
    assert rp.audit(model, data, plan=PLAN)["clean"].correct.n == 12


def test_a_margin_attack_sees_through_scaled_logits(digits):
    """The same decisions with logits times 300: cross-entropy is flat in float32, the margin is not."""

    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = rp.load_backbone("digits_vit")

        def forward(self, images):
            return 300.0 * self.inner(images)

    model = rp.wrap(Scaled(), num_classes=10)
    model.image_size = (16, 16)
    plan = rp.AuditPlan(epsilons=(0.1,), perturbations=(), gallery=0)
    record = rp.audit(model, digits, plan=plan)
    shares = {m.settings["loss"]: m.correct.fraction for m in record.of("attack", "pgd")}
    assert shares["cross_entropy"] > 0.5
    assert shares["margin"] == 0.0


def test_what_is_no_model_and_no_split_is_refused(digits):
    with pytest.raises(UserError, match=r"rp\.wrap"):
        rp.audit(torch.nn.Identity(), digits, plan=PLAN)
    with pytest.raises(UserError, match="split must be 'test'"):
        rp.audit(rp.load_backbone("digits_vit"), digits, plan=PLAN, split="train")


def test_an_audit_that_replaces_another_goes_on_after_it_was_broken_off(run, digits, tmp_path):
    first = rp.audit(run, digits, plan=PLAN, output=tmp_path)
    segment = tmp_path / "ledger" / "segment-0-of-1.jsonl"
    whole = segment.read_bytes()

    def stop(progress):
        if progress.kind == "attack":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rp.audit(run, digits, plan=PLAN, output=tmp_path, observer=stop)
    begun = segment.read_bytes()
    assert begun != whole  # a new ledger: the seconds differ
    again = rp.audit(run, digits, plan=PLAN, output=tmp_path)
    assert segment.read_bytes().startswith(begun)
    assert again.rows == first.rows
    rp.audit(run, digits, plan=PLAN, output=tmp_path, seed=1)  # a completed one is forgotten
