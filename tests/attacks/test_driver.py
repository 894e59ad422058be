import dataclasses
import itertools
import math

import pytest
import torch
from torch import nn

from robustpeft.attacks import FAB, FGSM, PGD, AttackPlan, AutoAttack, Driver
from robustpeft.attacks.ensemble import Ensemble
from robustpeft.attacks.kept_images import read_kept_images
from robustpeft.attacks.subject import model_digest
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


def rows_of(findings):
    return {key: dataclasses.replace(row, seconds=0) for key, row in findings.rows.items()}


def kept(directory):
    return {row.key: dataclasses.replace(row, seconds=0) for row in read_ledger(directory)[1]}


@pytest.fixture
def model(curved):
    return curved()


@pytest.fixture
def split(model, split_of):
    return split_of(model)


# What happens to an image depends on nothing but the image and the plan.


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_images_changes_no_bit(model, split, seed):
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    one, other = Driver(slots=4).run(model, split, PLAN), Driver(slots=4).run(model, split.subset(order), PLAN)
    assert rows_of(one) == rows_of(other)
    assert {row.broken for row in one.rows.values()} == {True, False}


@pytest.mark.parametrize("shards", [2, 3, 20])
def test_shards_together_are_the_whole_bit_for_bit(model, split, tmp_path, shards):
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


def test_a_subset_of_the_images_has_the_same_rows(model, split):
    whole = rows_of(Driver(slots=4).run(model, split, PLAN))
    part = rows_of(Driver(slots=4).run(model, split.subset(torch.tensor([3, 9])), PLAN))
    assert part == {key: row for key, row in whole.items() if key[1] in split.ids[[3, 9]].tolist()}


# Nothing is lost.


@pytest.mark.parametrize("share", [1.0, 1e-9], ids=["saved after every pass", "hardly ever saved"])
def test_a_run_that_is_stopped_at_any_pass_and_resumed_ends_the_same(curved, split_of, tmp_path, share, killed):
    model = curved()
    split = split_of(model)
    whole = Driver(slots=4, directory=tmp_path, snapshot_share=share).run(model, split, ONE)
    passes, rows = len(model.widths), rows_of(whole)
    for stop in range(0, passes, 3 if share == 1 else 5):
        model.widths, model.stop_at = [], stop
        driver = Driver(slots=4, directory=tmp_path / f"{stop}", snapshot_share=share)
        with pytest.raises(killed):
            driver.run(model, split, ONE)
        model.stop_at = None
        driver.run(model, split, ONE)
        assert kept(tmp_path / f"{stop}") == rows
        if share == 1:  # 1 batch to recognise the model by, and 1 pass, which was not finished, again
            assert len(model.widths) <= passes + 1 + (stop >= 1)
    assert passes > 20


def test_a_run_that_is_stopped_again_and_again_loses_nothing_and_repeats_one_pass_each_time(
    model, split, tmp_path, killed
):
    driver = Driver(slots=4, directory=tmp_path, snapshot_share=1.0)
    whole = dataclasses.replace(driver, directory=tmp_path / "whole").run(model, split, ONE)
    passes, total, calls = len(model.widths), 0, 0
    while True:
        model.widths, model.stop_at = [], 5
        calls += 1
        try:
            driver.run(model, split, ONE)
        except killed:
            total += len(model.widths)
            assert calls < 30
        else:
            break
    assert kept(tmp_path) == rows_of(whole)
    assert calls > 5
    assert total + len(model.widths) <= passes + 2 * calls


@pytest.mark.parametrize("calls", [0, 1, 5, 11, 20])
def test_an_observer_that_raises_loses_nothing(model, split, tmp_path, calls):
    whole, left = rows_of(Driver(slots=4).run(model, split, PLAN)), [0] * calls

    def observer(progress):
        if not left:
            raise ZeroDivisionError
        left.pop()

    with pytest.raises(ZeroDivisionError):
        Driver(slots=4, directory=tmp_path, observer=observer).run(model, split, PLAN)
    Driver(slots=4, directory=tmp_path).run(model, split, PLAN)
    assert kept(tmp_path) == whole


def test_what_was_restored_but_not_seated_yet_is_saved_again(curved, split_of, tmp_path, killed):
    model = curved()
    split = split_of(model, images=9, wrong=0)
    plan = AttackPlan((PGD(steps=30),), (Linf(1e-5),))  # nothing breaks
    driver = Driver(slots=3, directory=tmp_path, snapshot_share=1.0)
    model.stop_at = 3 + 20
    with pytest.raises(killed):
        driver.run(model, split, plan)
    # With one slot, the second and third image wait while the first is under way.
    for segment in tmp_path.glob("segment*"):
        _rewrite_slots(segment)
    for snapshot in tmp_path.glob("slots*"):
        _rewrite_work(snapshot, tmp_path)
    driver = dataclasses.replace(driver, slots=1)
    model.widths, model.stop_at = [], 1 + 5
    with pytest.raises(killed):
        driver.run(model, split, plan)
    model.widths, model.stop_at = [], None
    findings = driver.run(model, split, plan)
    assert len(model.widths) == 1 + (31 - 25) + 2 * (31 - 20) + 6 * 31
    assert all(row.forwards == 31 for row in findings.rows.values() if row.stage != "clean")


def _rewrite_slots(segment):
    import json
    import zlib

    lines = segment.read_bytes().split(b"\n")
    header = json.loads(lines[0].rpartition(b"\t")[0])
    text = json.dumps(header | {"slots": 1}, separators=(",", ":")).encode()
    lines[0] = text + f"\t{zlib.crc32(text):08x}".encode()
    segment.write_bytes(b"\n".join(lines))


def _rewrite_work(snapshot, directory):
    import hashlib
    import json

    from safetensors import safe_open
    from safetensors.torch import save_file

    from robustpeft.attacks.snapshot import _checksum

    header = {k: v for k, v in read_ledger(directory)[0].items() if k != "format"}
    with safe_open(snapshot, framework="pt") as file:
        said, before = json.loads(file.metadata()["said"]), file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    said["work"] = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()
    text = json.dumps(said)
    assert before["checksum"] == _checksum(tensors, before["said"])
    save_file(tensors, snapshot, metadata={"said": text, "checksum": _checksum(tensors, text)})


@pytest.mark.parametrize("damage", ["missing", "truncated", "changed", "empty", "stale", "of other work"])
def test_a_snapshot_that_is_no_good_changes_nothing_but_the_time(model, split, tmp_path, damage, caplog, killed):
    whole = rows_of(Driver(slots=4).run(model, split, ONE))
    driver = Driver(slots=4, directory=tmp_path, snapshot_share=1.0)
    model.widths, model.stop_at = [], 9
    with pytest.raises(killed):
        driver.run(model, split, ONE)
    (snapshot,) = tmp_path.glob("slots-0-of-1.safetensors")
    saved = snapshot.read_bytes()
    if damage == "missing":
        snapshot.unlink()
    elif damage == "stale":
        model.widths, model.stop_at = [], 16
        with pytest.raises(killed):
            driver.run(model, split, ONE)
        snapshot.write_bytes(saved)
    elif damage == "of other work":
        (tmp_path / "segment-0-of-1.jsonl").unlink()
        model.stop_at = None
        whole = rows_of(Driver(slots=4).run(model, split, dataclasses.replace(ONE, seed=1)))
    else:
        changed = bytearray(saved)
        changed[-5] ^= 1
        snapshot.write_bytes({"truncated": saved[: len(saved) // 2], "changed": bytes(changed), "empty": b""}[damage])
    model.stop_at = None
    driver.run(model, split, ONE if damage != "of other work" else dataclasses.replace(ONE, seed=1))
    assert kept(tmp_path) == whole
    assert ("is not readable" in caplog.text) == (damage in ("truncated", "changed", "empty"))
    assert not snapshot.exists()


def test_a_finished_run_asks_the_model_once_more_and_attacks_nothing(model, split, tmp_path):
    one = Driver(slots=4, directory=tmp_path).run(model, split, PLAN)
    model.widths = []
    again = Driver(slots=4, directory=tmp_path).run(model, split, PLAN)
    assert again.rows == one.rows
    assert len(model.widths) == 1
    assert read_parquet(tmp_path / "ledger.parquet") == read_ledger(tmp_path)


# What does not belong together is not mixed.


def _other_weights(model):
    model.outer.data[0, 0] += 1e-3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"plan": dataclasses.replace(ONE, seed=1)}, "other work: its plan"),
        ({"plan": AttackPlan(ONE.attacks, (Linf(0.003 + 1e-9),))}, "other work: its plan"),
        ({"plan": AttackPlan(ONE.attacks, (L2(0.003),))}, "other work: its plan"),
        ({"slots": 5}, "other work: its slots is 4, now it is 5"),
        ({"labels": 1}, "other work: its data"),
        ({"ids": 1}, "other work: its data"),
        ({"pixels": 1e-3}, "image 1000 has other pixels"),
        ({"weights": True}, "other work: its model"),
        ({"attribute": True}, "the model answers otherwise"),
        ({"shard": (0, 2)}, "begun with 1 processes"),
    ],
    ids=str,
)
def test_other_work_in_the_same_directory_is_refused(model, split, tmp_path, change, sentence):
    Driver(slots=4, directory=tmp_path).run(model, split, ONE)
    before = (tmp_path / "segment-0-of-1.jsonl").read_bytes()
    split.labels[0] = (split.labels[0] + change.get("labels", 0)) % 4
    split.ids[0] += change.get("ids", 0)
    split.images[0, 0, 0, 0] = (split.images[0, 0, 0, 0] + change.get("pixels", 0)) % 1
    if "weights" in change:
        _other_weights(model)
    if "attribute" in change:
        model.damage = lambda number, logits: logits.flip(1)
    driver = Driver(slots=change.get("slots", 4), directory=tmp_path, shard=change.get("shard", (0, 1)))
    with pytest.raises(UserError, match=sentence):
        driver.run(model, split, change.get("plan", ONE))
    assert (tmp_path / "segment-0-of-1.jsonl").read_bytes() == before


def test_pixels_that_changed_before_an_image_was_attacked_are_noticed(curved, split_of, tmp_path, killed):
    model = curved()
    split = split_of(model)
    model.stop_at = 4  # the clean images, all of them
    with pytest.raises(killed):
        Driver(slots=4, directory=tmp_path).run(model, split, ONE)
    model.stop_at = None
    split.images[9] = 1 - split.images[9]
    with pytest.raises(UserError, match=f"image {int(split.ids[9])} has other pixels"):
        Driver(slots=4, directory=tmp_path).run(model, split, ONE)


def test_a_model_that_answers_at_random_is_not_taken_for_another(model, split, tmp_path):
    model.damage = lambda number, logits: logits + torch.randn(4)
    Driver(slots=4, directory=tmp_path).run(model, split, ONE)
    Driver(slots=4, directory=tmp_path).run(model, split, ONE)


# Models of every kind.


@pytest.mark.parametrize("number", [1, 5, 9])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_answers_that_are_no_numbers_stop_it_before_they_count(curved, split_of, tmp_path, number, value):
    model = curved()
    split = split_of(model)
    whole = rows_of(Driver(slots=4).run(model, split, ONE))

    def damage(passes, logits):
        return logits + torch.where(torch.arange(len(logits)) == 1, value, 0.0)[:, None] if passes == number else logits

    model.widths, model.damage = [], damage
    with pytest.raises(UserError, match="not finite"):
        Driver(slots=4, directory=tmp_path).run(model, split, ONE)
    assert len(model.widths) == number
    found = kept(tmp_path)
    assert found == {key: whole[key] for key in found}
    model.damage = lambda passes, logits: logits
    Driver(slots=4, directory=tmp_path).run(model, split, ONE)
    assert kept(tmp_path) == whole


def test_a_model_that_raises_halfway_leaves_a_sound_ledger(model, split, tmp_path):
    whole = rows_of(Driver(slots=4).run(model, split, ONE))

    def damage(passes, logits):
        if passes == 9:
            raise RuntimeError("out of memory")
        return logits

    model.widths, model.damage = [], damage
    with pytest.raises(RuntimeError, match="out of memory"):
        Driver(slots=4, directory=tmp_path).run(model, split, ONE)
    assert 0 < len(kept(tmp_path)) < len(whole)
    model.damage = lambda passes, logits: logits
    Driver(slots=4, directory=tmp_path).run(model, split, ONE)
    assert kept(tmp_path) == whole


def test_a_constant_model_holds_what_it_names_and_that_is_said(model, split, caplog):
    model.damage = lambda passes, logits: 0 * logits + torch.tensor([1.0, 0, 0, 0])
    findings = Driver(slots=4).run(model, split, ONE)
    assert findings.correct(split.ids.tolist(), None, 0).tolist() == (split.labels == 0).tolist()
    assert "a gradient of exactly 0" in caplog.text


def test_a_model_that_never_looks_at_its_images_is_an_error(model, split):
    with pytest.raises(UserError, match="no gradient back to the images"):
        Driver(slots=4).run(lambda images: torch.ones(len(images), 4), split, ONE)


def test_two_classes_and_one_image(curved, split_of):
    model = curved(classes=2)
    split = split_of(model, images=1, classes=2, wrong=0)
    plan = AttackPlan((PGD(steps=4), PGD(steps=4, loss="margin")), (Linf(0.2),))
    findings = Driver(slots=4).run(model, split, plan)
    assert findings.correct(split.ids.tolist(), None, 0).tolist() == [False]


def test_no_image_is_an_error_but_a_shard_may_have_none(model, split, tmp_path):
    with pytest.raises(UserError, match="no images"):
        Driver().run(model, split.subset(torch.zeros(0, dtype=torch.int64)), ONE)
    one = split.subset(torch.tensor([0]))  # id 1000
    assert Driver(shard=(1, 2)).run(model, one, ONE).rows == {}


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_model_in_half_precision_is_given_images_in_it(curved, split_of, kind, tmp_path):
    model = curved().to(kind)
    split = split_of(model, wrong=0) if kind == torch.float32 else None
    whole = curved()
    split = split_of(whole)
    findings = Driver(slots=4, directory=tmp_path, keep_images="all").run(model, split, ONE)
    clean = model.eval()(split.images.to(kind)).argmax(1) == split.labels
    assert [not findings.clean(i).broken for i in split.ids.tolist()] == clean.tolist()
    points = list(read_kept_images(tmp_path))
    assert points
    for _, image, point in points:
        row = (split.ids == image).nonzero().item()
        assert point.dtype == torch.float32
        assert model(point[None].to(kind)).argmax() != split.labels[row]


def test_a_plain_callable_is_attacked_as_it_is(model, split, tmp_path):
    model.eval()
    whole = rows_of(Driver(slots=4).run(model, split, ONE))
    assert rows_of(Driver(slots=4, directory=tmp_path).run(model.forward, split, ONE)) == whole
    model.shift += torch.tensor([100.0, 0, 0, 0])  # of a callable, no digest tells
    with pytest.raises(UserError, match="answers otherwise"):
        Driver(slots=4, directory=tmp_path).run(model.forward, split, ONE)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("raises", [True, False])
def test_model_and_chance_are_left_as_they_were(model, split, training, raises, killed):
    whole = rows_of(Driver(slots=4).run(model.eval(), split, ONE))
    model.train(training)
    model.widths, model.stop_at = [], 7 if raises else None
    model.inner.grad = torch.ones_like(model.inner)
    before = {name: (tensor.clone(), tensor._version) for name, tensor in model.state_dict(keep_vars=True).items()}
    state, digest = torch.get_rng_state(), model_digest(model)
    try:
        found = rows_of(Driver(slots=4).run(model, split, ONE))
    except killed:
        assert raises
    else:
        assert found == whole  # dropout is off
        assert not raises
    assert [module.training for module in model.modules()] == [training] * 2
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(model.inner.grad, torch.ones_like(model.inner))
    assert model.outer.grad is None
    for name, tensor in model.state_dict(keep_vars=True).items():
        assert torch.equal(tensor, before[name][0])
        assert tensor._version == before[name][1]
    assert torch.equal(torch.get_rng_state(), state)
    assert model_digest(model) == digest


# What counts.


def test_what_is_misclassified_already_is_not_attacked_and_is_nobodys_success(model, split):
    findings = Driver(slots=4).run(model, split, PLAN)
    wrong = split.ids[-2:].tolist()
    assert [key for key in findings.rows if key[1] in wrong] == [("clean", image, 0) for image in wrong]
    for image in wrong:
        assert findings.clean(image).broken
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
            assert row.margin == pytest.approx(float(others), abs=1e-5)
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


# Images, tables, observers.


def test_kept_images_lie_in_ball_and_box_in_float64_and_break_the_model(model, split, tmp_path):
    findings = Driver(slots=4, directory=tmp_path, keep_images="all").run(model, split, PLAN)
    broken = {(row.stage, row.image): row for row in findings.rows.values() if row.broken and row.stage != "clean"}
    found = {(stage, image): point for stage, image, point in read_kept_images(tmp_path)}
    assert found.keys() == broken.keys()
    for (stage, image), point in found.items():
        row = (split.ids == image).nonzero().item()
        assert point.dtype == torch.float32
        delta = point.double() - split.images[row].double()
        assert 0 <= point.min() <= point.max() <= 1
        norm = delta.abs().max() if "linf" in stage else delta.norm()
        assert norm <= float(stage.rpartition(" ")[2]) + 1e-7  # x + delta rounds to float32
        assert float(norm) == pytest.approx(broken[stage, image].norm, rel=1e-12)
        assert model.eval()(point[None]).argmax() == broken[stage, image].prediction != split.labels[row]
    stages = {stage for stage, _ in broken}
    assert len(list(tmp_path.glob("adversarial-*"))) == len(stages)


def test_an_image_is_on_disk_before_its_row_is(model, split, tmp_path, monkeypatch):
    def append(segment, rows):
        kept_images = {(stage, image) for stage, image, _ in read_kept_images(tmp_path)}
        rows = list(rows)
        assert all((row.stage, row.image) in kept_images for row in rows if row.broken and row.stage != "clean")
        real(segment, rows)

    from robustpeft.records import LedgerSegment

    real = LedgerSegment.append
    monkeypatch.setattr(LedgerSegment, "append", append)
    Driver(slots=4, directory=tmp_path, keep_images="all").run(model, split, ONE)


def test_observers_hear_how_far_it_is(model, split):
    heard, images = [], []
    driver = Driver(slots=4, observer=heard.append, on_found=lambda *found: images.append(found))
    findings = driver.run(model, split, ONE)
    assert [progress.done for progress in heard] == sorted(progress.done for progress in heard)
    last = heard[-1]
    assert (last.ended, last.done, last.images, last.number, last.stages) == (True, 12, 12, 1, 1)
    assert last.broken == len(images) == 12 - last.correct
    assert last.correct == findings.correct(split.ids.tolist(), 0, 0).sum()
    for image, stage, point in images:
        assert findings.rows[stage.key(ONE), image, 0].broken or findings.rows[stage.key(ONE), image, 1].broken
        assert point.shape == (3, 4, 4)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"slots": 0}, "slots must be at least 1; got 0"),
        ({"shard": (2, 2)}, "0 <= i < n"),
        ({"shard": (-1, 2)}, "0 <= i < n"),
        ({"snapshot_share": 0.0}, r"in \(0, 1\]; got 0"),
        ({"snapshot_share": 1.5}, r"in \(0, 1\]; got 1.5"),
        ({"keep_images": "all"}, "needs a directory"),
        ({"keep_images": "some"}, "must be none, first or all; got 'some'"),
    ],
    ids=str,
)
def test_settings_without_a_meaning_are_refused(settings, sentence):
    with pytest.raises(UserError, match=sentence):
        Driver(**settings)


def test_of_every_image_only_what_is_nearer_than_before_is_kept(curved, split_of, tmp_path):
    model = curved()
    split = split_of(model)
    every, first = (
        Driver(slots=4, directory=tmp_path / keep, keep_images=keep).run(model, split, PLAN)
        for keep in ("all", "first")
    )
    assert {row.key for row in every.rows.values()} == {row.key for row in first.rows.values()}
    order = {stage.key(PLAN): place for place, stage in enumerate(first.stages)}
    threats = {stage.key(PLAN): stage.threat for stage in first.stages}
    kept = sorted(((image, order[stage], threats[stage]) for stage, image, _ in read_kept_images(tmp_path / "first")))
    assert 0 < len(kept) < len(list(read_kept_images(tmp_path / "all")))
    for image, threat in itertools.product(split.ids.tolist(), range(len(PLAN.threats))):
        inside = {0, 1} if threat == 1 else {threat}
        shown = any(own == image and where in inside for own, _, where in kept)
        assert shown == (first.worst(image, threat) is not None)


def test_a_seal_stands_in_the_first_line_before_any_attack(curved, split_of, tmp_path):
    model = curved()
    split = split_of(model)

    def leave(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Driver(slots=4, directory=tmp_path, seal="s" * 64, on_found=leave).run(model, split, ONE)
    assert read_ledger(tmp_path)[0]["seal"] == "s" * 64
    with pytest.raises(UserError, match="belongs to other work: its seal is"):
        Driver(slots=4, directory=tmp_path, seal="t" * 64).run(model, split, ONE)
