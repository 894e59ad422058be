import dataclasses
import itertools
import math

import pytest
import torch
from torch import nn

from robustpeft.attacks import FAB, FGSM, PGD, AttackPlan, AutoAttack, Driver
from robustpeft.attacks.ensemble import Ensemble
from robustpeft.attacks.kept_images import read_kept_images
from robustpeft.errors import UserError
from robustpeft.records import compact_ledger, read_ledger, read_parquet
from robustpeft.types import L1, L2, Linf

PLAN = AttackPlan((FGSM(), PGD(steps=6, restarts=2, momentum=0.5)), (Linf(0.003), Linf(0.006), L2(0.02)), seed=3)
ONE = AttackPlan((PGD(steps=8, restarts=2),), (Linf(0.003),))


@dataclasses.dataclass(frozen=True)
class Twice(Ensemble):
    """Two searches, a quick one and a thorough one."""

    cost = "those of its stages"

    def stages(self, classes):
        return PGD(steps=1, random_start=False, step_size=0.0015), PGD(steps=8, loss="margin")


class Folding(nn.Module):
    """A branch whose folded form is wrong by an offset that makes class 0 the likeliest."""

    def __init__(self, inner, offset):
        super().__init__()
        self.inner, self.offset = inner, offset

    def forward(self, images):
        return self.inner(images)

    def folded(self):
        return Shifted(self.inner, self.offset)


class Shifted(nn.Module):
    def __init__(self, inner, offset):
        super().__init__()
        self.inner, self.offset = inner, offset

    def forward(self, images):
        return self.inner(images) + self.offset


# What happens to an image depends on nothing but the image and the plan.


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_images_changes_no_bit(model, split, seed, rows_of):
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    one, other = Driver(slots=4).run(model, split, PLAN), Driver(slots=4).run(model, split.subset(order), PLAN)
    assert rows_of(one) == rows_of(other)
    assert {row.broken for row in one.rows.values()} == {True, False}


@pytest.mark.parametrize("shards", [2, 3, 20])
def test_shards_together_are_the_whole_bit_for_bit(model, split, tmp_path, shards, rows_of, kept):
    for shard in range(shards):
        Driver(slots=4, directory=tmp_path, shard=(shard, shards)).run(model, split, PLAN)
    assert kept(tmp_path) == rows_of(Driver(slots=4).run(model, split, PLAN))
    assert not (tmp_path / "ledger.parquet").exists()
    assert read_parquet(compact_ledger(tmp_path)) == read_ledger(tmp_path)


@pytest.mark.parametrize("slots", [1, 3, 32])
def test_another_number_of_slots_changes_no_verdict_that_is_not_close(model, split, slots):
    one, other = Driver(slots=4).run(model, split, PLAN).rows, Driver(slots=slots).run(model, split, PLAN).rows
    for key in one.keys() | other.keys():
        close = [abs(rows[key].margin) < 1e-4 for rows in (one, other) if key in rows]
        assert any(close) or one[key].broken == other[key].broken


def test_a_subset_of_the_images_has_the_same_rows(model, split, rows_of):
    whole = rows_of(Driver(slots=4).run(model, split, PLAN))
    part = rows_of(Driver(slots=4).run(model, split.subset(torch.tensor([3, 9])), PLAN))
    assert part == {key: row for key, row in whole.items() if key[1] in split.ids[[3, 9]].tolist()}


# What counts.


def test_what_is_misclassified_already_is_not_attacked_and_is_nobodys_success(model, split):
    findings = Driver(slots=4).run(model, split, PLAN)
    wrong = split.ids[-2:].tolist()
    assert [key for key in findings.rows if key[1] in wrong] == [("clean", image, 0) for image in wrong]
    for image in wrong:
        assert findings.clean(image).broken
        assert (findings.clean(image).step, findings.clean(image).forwards) == (0, 1)
        assert findings.worst(image, 2) is None
    assert not findings.correct(wrong, None, 0).any()


def test_only_what_the_judge_confirms_counts_and_the_search_goes_on(curved, split_of, tmp_path):
    inner = curved()
    split = split_of(inner)
    model = Folding(inner, torch.tensor([3.0, 0, 0, 0]))
    plan = AttackPlan((PGD(steps=10),), (Linf(0.01),))
    found, points = Driver(slots=4, directory=tmp_path, keep_images="all").run(model, split, plan), {}
    points = {image: point for _, image, point in read_kept_images(tmp_path)}
    rows = [row for row in found.rows.values() if row.stage != "clean"]
    assert {row.broken for row in rows} == {True, False}
    assert any(row.forwards > row.step + 1 for row in rows if row.broken)  # refuted, and then confirmed
    for row in rows:
        label = int(split.labels[(split.ids == row.image).nonzero()])
        assert row.broken == (row.image in points)
        assert (row.margin > 0) == row.broken
        if row.broken:
            logits = inner.eval()(points[row.image][None])[0]
            assert int(logits.argmax()) == row.prediction != label
            others = torch.cat([logits[:label], logits[label + 1 :]]).max() - logits[label]
            assert row.margin == pytest.approx(float(others), abs=1e-4)  # one image alone rounds otherwise
            assert row.norm <= 0.01 + 1e-7
    # However many claims are asked about at once, the verdict is the same.
    for slots in (1, 9):
        other = Driver(slots=slots).run(model, split, plan).rows
        assert {key: row.broken for key, row in other.items()} == {key: row.broken for key, row in found.rows.items()}


def test_a_search_that_the_judge_never_confirms_takes_all_its_passes(curved, split_of):
    inner = curved(scale=0.01)
    split = split_of(inner, wrong=0)
    assert len(split.labels.unique()) > 1 or int(split.labels[0]) != 1
    offset = torch.zeros(4)
    offset[1 if int(split.labels[0]) != 1 else 0] = 100.0
    findings = Driver(slots=4).run(Folding(inner, offset), split, AttackPlan((PGD(steps=5),), (Linf(1e-4),)))
    rows = [row for row in findings.rows.values() if row.stage != "clean"]
    fooled = [row for row in rows if int(offset.argmax()) != int(split.labels[(split.ids == row.image).nonzero()])]
    assert fooled
    assert [(row.broken, row.forwards, row.backwards) for row in fooled] == [(False, 12, 5)] * len(fooled)


def test_an_image_broken_within_a_smaller_ball_counts_within_the_larger_and_is_not_tried_there(model, split):
    plan = AttackPlan((FGSM(), PGD(steps=6)), tuple(Linf(e) for e in (0.001, 0.003, 0.006)))
    findings = Driver(slots=4).run(model, split, plan)
    ids = split.ids.tolist()
    for attack in (0, 1, None):
        held = [findings.correct(ids, attack, threat) for threat in range(3)]
        assert all((later <= earlier).all() for earlier, later in itertools.pairwise(held))
        assert held[0].sum() > held[2].sum()
    for attack, name in enumerate(("0.fgsm", "1.pgd")):
        tried = [{key[1] for key in findings.rows if key[0] == f"{name}@linf {e}"} for e in (0.001, 0.003, 0.006)]
        for threat in (0, 1):
            broken = {image for image in ids if findings.broke(image, attack, threat)}
            assert tried[threat + 1] == tried[0] - broken


def test_a_cascade_leaves_out_what_earlier_attacks_broke(model, split):
    plan = AttackPlan((FGSM(), PGD(steps=6)), (Linf(0.003),))
    each, cascade = (Driver(slots=4).run(model, split, dataclasses.replace(plan, cascade=c)) for c in (False, True))
    ids = split.ids.tolist()
    broken = {image for image in ids if each.broke(image, 0, 0)}
    assert broken
    by_pgd = [{key[1] for key in findings.rows if key[0] == "1.pgd@linf 0.003"} for findings in (each, cascade)]
    assert by_pgd[1] == by_pgd[0] - broken
    assert torch.equal(each.correct(ids, None, 0), cascade.correct(ids, None, 0))


def test_the_stages_of_an_ensemble_work_on_what_is_left(model, split):
    findings = Driver(slots=4).run(model, split, AttackPlan((Twice(),), (Linf(0.003),)))
    first, second = (stage.key(findings.plan) for stage in findings.stages)
    assert first.endswith("Twice/0.pgd@linf 0.003")
    assert second.endswith("Twice/1.pgd@linf 0.003")
    tried, left = ({key[1] for key in findings.rows if key[0] == stage} for stage in (first, second))
    broken = {image for image in tried if findings.rows[first, image, 0].broken}
    assert left == tried - broken
    assert 0 < len(broken) < len(tried)
    late = {image for image in left if findings.rows[second, image, 0].broken}
    assert late
    held = findings.correct(split.ids.tolist(), 0, 0)
    assert set(split.ids[held].tolist()) == left - late


@pytest.mark.parametrize(
    ("late", "threat", "sentence"),
    [
        (FAB(), L1(0.3), "FAB is written for linf and l2; got l1"),
        (AutoAttack(), L1(0.3), "FAB is written for linf and l2; got l1"),
        (PGD(loss="targeted_dlr"), Linf(0.003), "TargetedDLR needs at least 4 classes; the model has 3"),
        (PGD(step_size=2), Linf(0.003), r"did you mean 2 / 255\?"),
    ],
)
def test_a_search_that_does_not_fit_is_refused_before_the_first_attack(
    curved, split_of, late, threat, sentence, tmp_path
):
    model = curved(classes=3)
    with pytest.raises(UserError, match=sentence):
        Driver(slots=4, directory=tmp_path).run(
            model, split_of(model, classes=3), AttackPlan((FGSM(), late), (threat,))
        )
    assert {row.stage for row in read_ledger(tmp_path)[1]} == {"clean"}


def test_at_epsilon_zero_nothing_is_tried_and_clean_accuracy_stays(model, split):
    findings = Driver(slots=4).run(model, split, AttackPlan((FGSM(),), (Linf(0), Linf(0.003))))
    assert findings.correct(split.ids.tolist(), 0, 0).tolist() == [True] * 12 + [False] * 2
    assert {stage for stage, _, _ in findings.rows} == {"clean", "0.fgsm@linf 0.003"}


@pytest.mark.parametrize(("precision", "said"), [("float32", None), ("bf16", "bfloat16")])
def test_the_first_line_of_the_ledger_says_if_the_search_was_in_low_precision(model, split, tmp_path, precision, said):
    Driver(slots=4, directory=tmp_path, precision=precision).run(model, split, AttackPlan((FGSM(),), (Linf(0.003),)))
    assert read_ledger(tmp_path)[0].get("precision") == said


# What it costs.


def test_the_rows_say_what_the_model_was_asked(curved, split_of):
    model = curved()
    split = split_of(model, wrong=1)
    findings = Driver(slots=1).run(model, split, PLAN)  # with one slot there is no padding
    assert sum(row.forwards for row in findings.rows.values()) == len(model.widths) == sum(model.widths)


def test_fgsm_costs_one_forward_one_backward_and_one_verdict(model, split):
    findings = Driver(slots=4).run(model, split, AttackPlan((FGSM(),), (Linf(0.003),)))
    costs = {(row.forwards, row.backwards) for row in findings.rows.values() if row.stage != "clean"}
    assert costs == {(2, 1)}
    assert model.widths == [4] * (4 + 3 + 3)


def test_pgd_stops_at_the_first_success_and_counts_what_it_needed(model, split):
    findings = Driver(slots=4).run(model, split, ONE)
    rows = [row for row in findings.rows.values() if row.stage != "clean"]
    assert {row.broken for row in rows} == {True, False}
    for row in rows:
        wanted = (row.step + 1, min(row.step, 8)) if row.broken else (9, 8)
        assert (row.forwards, row.backwards) == wanted
        if row.broken and row.run:
            assert not findings.rows[row.stage, row.image, 0].broken
    assert len({row.step for row in rows}) > 2


def test_the_queue_is_as_short_as_it_can_be(model, split):
    slots = 4
    findings = Driver(slots=slots).run(model, split, AttackPlan((PGD(steps=20),), (Linf(0.004),)))
    rows = {image: row for (stage, image, _), row in findings.rows.items() if stage != "clean"}
    waiting, busy, passes, claims, verdicts = [rows[i] for i in split.ids.tolist()[:-2]], [], 0, 0, 0
    assert {row.broken for row in rows.values()} == {True, False}
    while waiting or busy:  # the queue once more, with nothing but the lengths of the runs
        while waiting and len(busy) < slots:
            row = waiting.pop(0)
            busy.append((row.step or 21, row.broken))
        passes += 1
        claims += busy.count((1, True))
        busy = [(left - 1, broken) for left, broken in busy if left > 1]
        while claims >= slots:
            claims, verdicts = claims - slots, verdicts + 1
    verdicts += claims > 0
    assert len(model.widths) == math.ceil(14 / slots) + passes + verdicts
    assert set(model.widths) == {slots}
    assert len(model.widths) < 21 * 14 / slots
