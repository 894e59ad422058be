"""What a driver leaves on the disk beside its rows, what it tells while at work, and what it refuses."""

import itertools

import pytest
import torch

from robustpeft.attacks import FGSM, PGD, AttackPlan, Driver
from robustpeft.attacks.driver import default_slots, model_digest
from robustpeft.attacks.kept_images import read_kept_images
from robustpeft.errors import UserError
from robustpeft.records import read_ledger
from robustpeft.types import L2, Linf

PLAN = AttackPlan((FGSM(), PGD(steps=6, restarts=2, momentum=0.5)), (Linf(0.003), Linf(0.006), L2(0.02)), seed=3)
ONE = AttackPlan((PGD(steps=8, restarts=2),), (Linf(0.003),))


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


def test_observers_hear_how_many_images_this_attack_has_left_whatever_others_broke(model, split):
    heard = []
    findings = Driver(slots=4, observer=heard.append).run(model, split, PLAN)
    ids = split.ids.tolist()
    begun = {(last.stage.attack, last.stage.threat): last.correct + last.broken for last in heard if last.ended}
    for stage in findings.stages:
        last = next(each for each in heard if each.ended and each.stage == stage)
        assert last.correct == findings.correct(ids, stage.attack, stage.threat).sum()
    assert begun[1, 0] == 12  # FGSM broke some of them before


def test_at_the_end_the_view_that_was_attacked_is_told_once_also_where_nothing_was_left_to_do(model, split, tmp_path):
    told = []
    driver = Driver(slots=4, directory=tmp_path, on_end=told.append)
    for number in (1, 2):
        driver.run(model.train(), split, ONE)
        assert len(told) == number
    wanted = model.eval()(split.images)
    for view in told:
        points = split.images.clone().requires_grad_()
        assert torch.equal(view(points), wanted)
        view(points).sum().backward()
        assert points.grad is not None
    assert model.inner.grad is None


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"slots": 0}, "slots must be at least 1; got 0"),
        ({"shard": (2, 2)}, "0 <= i < n"),
        ({"shard": (-1, 2)}, "0 <= i < n"),
        ({"snapshot_share": 0.0}, r"in \(0, 1\]; got 0"),
        ({"snapshot_share": 1.5}, r"in \(0, 1\]; got 1.5"),
        ({"keep_images": "all"}, "needs a directory"),
        ({"keep_images": "some"}, "must be 'none', 'first' or 'all'; got 'some'"),
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


def test_processes_that_share_a_directory_keep_images_under_names_of_their_own(model, split, tmp_path):
    for shard in range(2):
        Driver(slots=4, directory=tmp_path, shard=(shard, 2), keep_images="all").run(model, split, ONE)
    assert {path.name.split("-")[1] for path in tmp_path.glob("adversarial-*")} == {"0", "1"}


def test_the_first_line_says_what_is_attacked_and_how(model, split, tmp_path):
    """Other versions read it, to go on or to check a report: its words are a format."""
    plan = AttackPlan((PGD(steps=1),), (Linf(0.003), L2(0.02)), seed=3)
    Driver(directory=tmp_path).run(model, split, plan)
    header = read_ledger(tmp_path)[0]
    assert header.keys() == {"format", "model", "data", "plan", "slots"}
    assert (header["model"], header["data"]) == (model_digest(model), split.digest)
    assert header["plan"]["threats"] == [{"norm": "linf", "epsilon": 0.003}, {"norm": "l2", "epsilon": 0.02}]
    assert header["plan"]["seed"] == 3
    assert header["slots"] == default_slots(split.images) == 64


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
