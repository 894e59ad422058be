from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar

import pytest
import torch
from torch import nn

from robustpeft.attacks import FGSM, PGD, Course, Query, Search, State
from robustpeft.auditing import AuditPlan
from robustpeft.errors import UserError
from robustpeft.perturbations import GaussianNoise, PatchDrop, PatchShuffle
from robustpeft.records import read_record, write_record
from robustpeft.types import Patch

PLAN = AuditPlan(
    epsilons=(0.005, 0.02),
    attacks=(FGSM(), PGD(steps=3)),
    perturbations=(PatchDrop(0.5, patch_size=2), GaussianNoise(0.1)),
    images=None,
    batch_size=16,
    gallery=4,
)
KEYS = [
    "clean",
    "fgsm@linf:0.005",
    "fgsm@linf:0.02",
    "pgd@linf:0.005",
    "pgd@linf:0.02",
    "patch_drop@0.5",
    "gaussian_noise@0.1",
]


@dataclass(frozen=True)
class TooFar(Search[State]):
    cost: ClassVar[str] = "nothing"

    def course(self, classes):
        return Course(passes=1)

    def init(self, target):
        return State(step=torch.zeros_like(target.labels))

    def propose(self, target, state):
        return Query(target.images + 2 * target.threat.epsilon)

    def update(self, target, state, reply):
        return state


@dataclass(frozen=True)
class TooFarInPlace(TooFar):
    def propose(self, target, state):
        return Query(target.images.add_(2 * target.threat.epsilon))


class WithDropout(nn.Module):
    def __init__(self, linear):
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.linear = linear

    def forward(self, images):
        return self.linear(self.dropout(images))


def answers(record):
    return [(row.id, row.label, row.predictions) for row in record.rows]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_attacks_on_a_linear_model_leave_what_the_closed_form_says(audit, make_linear, make_split, norm):
    # Of two classes, an image stays correct within epsilon if margin > epsilon * (dual norm of w_y - w_other).
    model, split = make_linear(2), make_split(n=200)
    (batch,) = split.batches(200)
    with torch.no_grad():
        logits = model(batch.images)
        steepness = (model.weight[0] - model.weight[1]).norm(p=1 if norm == "linf" else 2)
    true = logits.gather(1, batch.labels[:, None]).squeeze(1)
    distance = (2 * true - logits.sum(dim=1)) / steepness
    sorted_distances = distance[distance > 0].sort().values
    epsilons = tuple(float(sorted_distances[k : k + 2].mean()) for k in (15, 40, 70))  # between two images
    assert epsilons[-1] < 0.3  # the box does not cut the ball
    # A start to the side is never quite made up for on the sphere of L2; Linf reaches its corner from anywhere.
    attacks = (FGSM(), PGD(steps=3, random_start=norm == "linf"))
    record = audit(model, split, replace(PLAN, norm=norm, epsilons=epsilons, attacks=attacks, perturbations=()))
    for name in ("fgsm", "pgd"):
        found = [m.correct.count for m in record.of("attack", name)]
        assert found == [int((distance > epsilon).sum()) for epsilon in epsilons]
    assert record["clean"].correct.count == int((distance > 0).sum())


def test_counts_follow_from_rows_and_classes(audit, make_linear, make_split):
    split = make_split(n=50, num_classes=3)
    record = audit(make_linear(3), split, classes=3)
    assert [m.key for m in record.measurements] == KEYS
    for m in record.measurements:
        hits = sum(row.predictions[m.key] == row.label for row in record.rows)
        assert (m.correct.count, m.correct.n) == (hits, 50)
        assert (sum(r.count for r in m.per_class), sum(r.n for r in m.per_class)) == (hits, 50)
        low, high = m.correct.interval()
        assert low <= m.correct.fraction <= high
    assert [row.id for row in record.rows] == split.ids.tolist()


def test_the_record_says_what_was_audited(audit, make_linear, make_split, subject):
    split = make_split()
    record = audit(make_linear(2), split, seed=5)
    assert record.subject == subject
    assert (record.data.name, record.data.split, record.data.note) == ("squares", "test", "not real")
    assert (record.data.n, record.data.classes, record.data.image_size) == (90, ("a", "b"), (4, 4))
    assert record.data.digest == split.digest
    assert record.seed == 5
    assert datetime.fromisoformat(record.created).utcoffset().total_seconds() == 0
    assert "torch" in record.environment


def test_a_record_survives_the_disk(audit, make_linear, tmp_path):
    record = audit(make_linear(2))
    assert read_record(write_record(record, tmp_path)) == record


def test_cost_is_counted_in_images_and_only_what_stands_is_attacked(audit, make_linear):
    record = audit(make_linear(2))
    standing = {m.key: m.correct.count for m in record.measurements}
    spent = {m.key: (m.forwards, m.backwards) for m in record.measurements}
    assert spent["clean"] == spent["patch_drop@0.5"] == (90, 0)
    # FGSM: 1 forward and 1 backward, and the judge's forward.
    assert spent["fgsm@linf:0.005"] == (2 * standing["clean"], standing["clean"])
    assert spent["fgsm@linf:0.02"] == (2 * standing["fgsm@linf:0.005"], standing["fgsm@linf:0.005"])
    broken = standing["pgd@linf:0.005"] - standing["pgd@linf:0.02"]
    forwards, backwards = spent["pgd@linf:0.02"]
    assert 4 * standing["pgd@linf:0.02"] + 2 * broken <= forwards <= 4 * standing["pgd@linf:0.02"] + 5 * broken
    # The judge's look at what broke and the last look of what held need no gradient; nor does the last of 4 passes.
    assert forwards - backwards >= standing["pgd@linf:0.02"] + broken
    assert backwards <= 3 * standing["pgd@linf:0.005"]
    assert all(m.seconds > 0 for m in record.measurements)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_the_batch_size_changes_nothing(audit, make_linear, batch_size):
    model = make_linear(2)
    other = audit(model, plan=replace(PLAN, batch_size=batch_size))
    assert answers(other) == answers(audit(model))
    assert [item.id for item in other.gallery] == [item.id for item in audit(model).gallery]


def test_the_seed_decides_everything_random(audit, make_linear):
    model, plan = make_linear(2), replace(PLAN, images=40)
    first = audit(model, plan=plan, seed=1)
    torch.manual_seed(99)
    again = audit(model, plan=plan, seed=1)
    assert answers(again) == answers(first)
    assert again.gallery == first.gallery
    assert answers(audit(model, plan=plan, seed=2)) != answers(first)


def test_an_image_fares_the_same_whatever_is_audited_with_it(audit, make_linear):
    model = make_linear(2)
    whole = {row.id: row for row in audit(model).rows}
    part = audit(model, plan=replace(PLAN, images=30)).rows
    assert len(part) == 30
    assert all(whole[row.id] == row for row in part)


def test_the_subset_keeps_the_shares_of_the_classes(audit, make_linear):
    record = audit(make_linear(2), plan=replace(PLAN, images=40))
    assert [rate.n for rate in record["clean"].per_class] == [20, 20]
    assert record.data.n == 40


def test_the_seed_decides_which_images_are_taken(audit, make_linear):
    plan = replace(PLAN, images=40, attacks=(), perturbations=())
    first, other = (audit(make_linear(2), plan=plan, seed=seed) for seed in (1, 2))
    assert {row.id for row in first.rows} != {row.id for row in other.rows}
    assert first.data.digest != other.data.digest


def test_a_model_in_training_is_audited_at_rest_and_left_as_it_was(audit, make_linear):
    model = WithDropout(make_linear(2)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    record = audit(model)
    assert answers(record) == answers(audit(make_linear(2)))
    assert model.training
    assert model.dropout.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("attack", [TooFar(), TooFarInPlace()])
def test_an_attack_that_leaves_the_ball_is_not_believed(audit, make_linear, attack):
    with pytest.raises(RuntimeError, match=f"{type(attack).__name__} left the ball"):
        audit(make_linear(2), plan=replace(PLAN, attacks=(attack,)))


def test_a_model_for_other_classes_is_refused(audit, make_linear):
    with pytest.raises(UserError, match=r"answers with 10 classes, the data has 2 \(a, b\)"):
        audit(make_linear(10))


def test_labels_without_a_class_are_refused(audit, make_linear, make_split):
    with pytest.raises(UserError, match=r"labels must be in \[0, 2\)"):
        audit(make_linear(2), make_split(num_classes=3))


def test_an_empty_split_is_refused(audit, make_linear, make_split):
    with pytest.raises(UserError, match="no images in its test split"):
        audit(make_linear(2), make_split(n=0))


def test_a_perturbation_that_does_not_fit_is_found_before_the_first_attack(audit, make_linear):
    told = []
    with pytest.raises(UserError, match="must divide the image"):
        audit(make_linear(2), plan=replace(PLAN, perturbations=(PatchShuffle(3),)), observer=told.append)
    assert told == []


def test_the_gallery_shows_the_last_attack_at_the_largest_epsilon(audit, make_linear):
    record = audit(make_linear(2))
    rows = {row.id: row for row in record.rows}
    assert len(record.gallery) == 4
    for item in record.gallery:
        assert (item.norm, item.epsilon) == ("linf", 0.02)
        assert item.prediction == rows[item.id].predictions["clean"]
        assert item.adversarial_prediction == rows[item.id].predictions["pgd@linf:0.02"]


def test_the_gallery_shows_the_widest_attack_where_there_is_one(audit, make_linear):
    record = audit(make_linear(2), plan=replace(PLAN, attacks=(FGSM(),), widest=(PGD(steps=9),)))
    rows = {row.id: row for row in record.rows}
    assert len(record.gallery) == 4
    assert record["pgd@linf:0.02"].correct.count < record["clean"].correct.count
    assert all(rows[item.id].predictions["pgd@linf:0.02"] == item.adversarial_prediction for item in record.gallery)


def test_two_models_show_the_same_photographs(audit, make_linear):
    one, other = audit(make_linear(2, seed=1)), audit(make_linear(2, seed=2))
    assert [(i.id, i.original_png) for i in one.gallery] == [(i.id, i.original_png) for i in other.gallery]


def test_without_attacks_or_gallery_there_is_nothing_to_show(audit, make_linear):
    assert audit(make_linear(2), plan=replace(PLAN, attacks=())).gallery == ()
    assert audit(make_linear(2), plan=replace(PLAN, gallery=0)).gallery == ()


def test_the_observer_sees_every_measurement_to_its_end(audit, make_linear):
    told = []
    record = audit(make_linear(2), observer=told.append)
    ends = [progress for progress in told if progress.images_done == progress.images]
    assert [progress.key for progress in ends] == KEYS
    assert [progress.accuracy for progress in ends] == [m.correct.fraction for m in record.measurements]
    assert all(progress.clean_accuracy == record["clean"].correct.fraction for progress in ends)


def test_a_plain_function_can_be_audited(audit, make_linear):
    model = make_linear(2)
    assert answers(audit(model.forward)) == answers(audit(model))


def test_attacks_in_bf16_are_confirmed_in_float32_and_a_check_says_what_they_missed(audit, make_linear):
    plan = replace(PLAN, checks="quick", precision="bf16")
    model = make_linear(2)
    low, full = audit(model, plan=plan), audit(model, plan=replace(plan, precision="float32"))
    for measurement in low.of("attack"):
        assert measurement.correct.count >= full[measurement.key].correct.count - 2  # its steps are others
    said = [{check.key: check.verdict for check in record.checks}["low_precision"] for record in (low, full)]
    assert said[0] in ("pass", "fail")
    assert said[1] == "not_applicable"
    assert low.seal.digest != full.seal.digest


def test_a_patch_is_attacked_in_its_own_window(audit, make_linear, make_split):
    plan = replace(PLAN, norm="patch:share=0.25,row=0,column=1", epsilons=(0.1, 0.2), perturbations=(), checks="none")
    model, split = make_linear(2), make_split()
    record = audit(model, split, plan)
    threat = Patch(0.2, share=0.25, row=0.0, column=1.0)
    found = record[f"fgsm@{threat}".replace(" ", ":")]
    assert found.threat == {"norm": "patch", "epsilon": 0.2, "share": 0.25, "row": 0, "column": 1}
    top, left, side = threat.window(4, 4)
    assert (top, left, side) == (0, 2, 2)
    (batch,) = split.batches(len(split))
    with torch.no_grad():
        logits = model(batch.images)
        gap = (model.weight[0] - model.weight[1]).reshape(3, 4, 4)[:, :2, 2:].abs().sum()
    signed = torch.where(batch.labels == 0, logits[:, 0] - logits[:, 1], logits[:, 1] - logits[:, 0])
    expected = int((signed > 0.2 * gap).sum())  # the best a linear model allows within the window
    assert found.correct.count == expected
    assert record.seal.plan["norm"] == plan.norm
