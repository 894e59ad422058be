"""What does an undertaking keep and tell, and what is left of one whose process was killed?

The rows of the driver are tested beside it; here it dies truly.
"""

import dataclasses
import json
import os
import subprocess
import sys

import pytest
import torch

from robustpeft.attacks import FGSM, PGD, AttackPlan, Driver, margin
from robustpeft.attacks.candidates import Candidates
from robustpeft.attacks.kept_images import read_kept_images
from robustpeft.records import read_ledger
from robustpeft.types import Linf

STAGES = ("0.fgsm", "1.pgd")
KILLER = """
import json, os, random, signal, sys, time
from pathlib import Path

import torch
from robustpeft.attacks import APGD, PGD, AttackPlan, Driver
from robustpeft.backbones import load_backbone
from robustpeft.data import Digits
from robustpeft.types import Linf

torch.set_num_threads(1)
root, processes, moments = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(processes)
model, split = load_backbone("digits_vit"), Digits().load().test.take(40)
plan = AttackPlan((PGD(steps=10, restarts=2), APGD(steps=10)), (Linf(2 / 255), Linf(6 / 255)))


def start(directory, shard, share):  # a copy of this process, for importing takes longer than the attacks
    child = os.fork()
    if child == 0:
        try:
            Driver(slots=8, directory=directory, shard=shard, snapshot_share=share, keep_images="all").run(
                model, split, plan
            )
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    return child


def finish(children):
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


shards = [(number, processes) for number in range(processes)]
begun = time.perf_counter()
finish([start(root / "whole", shard, 0.2) for shard in shards])
length = time.perf_counter() - begun
killed = 0
for number in range(moments):
    directory, share = root / f"{number}", 1.0 if number % 2 else 0.1
    for _ in range(1 + number % 3):
        children, waits = [start(directory, shard, share) for shard in shards], [0.0]
        waits += sorted(chance.uniform(0, length) for _ in shards)
        for child, before, after in zip(children, waits, waits[1:]):
            time.sleep(after - before)
            os.kill(child, signal.SIGKILL)
            killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    finish([start(directory, shard, share) for shard in shards])
print(json.dumps({"killed": killed, "length": length}))
"""


def kept(directory):
    header, rows = read_ledger(directory)
    return header, [dataclasses.replace(row, seconds=0) for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_processes_killed_at_random_moments_and_begun_again_leave_the_ledger_of_one_left_alone(tmp_path, processes):
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(tmp_path), str(processes), "20"],
        env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["killed"] > 10 * processes
    header, rows = kept(tmp_path / "whole")
    assert {row.broken for row in rows} == {True, False}
    for number in range(20):
        assert kept(tmp_path / f"{number}") == (header, rows)
        assert not list((tmp_path / f"{number}").glob("slots-*"))


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_of_candidates_the_very_points_that_broke_the_model_are_kept_and_told(linear, memory_split, tmp_path, slots):
    weight = torch.tensor([1.0, -1.0]).repeat(6)  # as many up as down: the score at grey is 0
    towards = weight.reshape(3, 2, 2)
    images = (0.5 - 0.01 * towards).repeat(4, 1, 1, 1)
    split = memory_split(images, torch.zeros(4, dtype=torch.int64), torch.arange(10, 14))
    changes = {10: 0.02, 11: 0.005, 12: 0.025, 13: 0.029}  # 11 stays on its side
    points = {image: images[0] + change * towards for image, change in changes.items()}
    plan, told = AttackPlan((PGD(steps=1, step_size=1e-9),), (Linf(0.001), Linf(0.03))), []
    Driver(
        slots=slots,
        directory=tmp_path,
        keep_images="all",
        candidates=[Candidates("another", Linf(0.03), lambda: iter(points.items()))],
        on_candidate=lambda *said: told.append(said),
    ).run(linear(weight), split, plan)
    kept_images = {image: point for stage, image, point in read_kept_images(tmp_path) if stage == "sibling@linf 0.03"}
    assert [(image, threat) for image, threat, _ in told] == [(10, 1), (12, 1), (13, 1)]
    assert kept_images.keys() == {10, 12, 13}
    for image, _, point in told:
        assert torch.equal(point, points[image])
        assert torch.equal(kept_images[image], points[image])


def test_the_rows_of_clean_images_say_what_the_model_answered(model, split):
    findings = Driver(slots=4).run(model, split, AttackPlan((FGSM(),), (Linf(1e-6),)))
    rows, logits = [findings.clean(image) for image in split.ids.tolist()], model.eval()(split.images).detach()
    assert [row.prediction for row in rows] == logits.argmax(1).tolist()
    assert [row.margin for row in rows] == pytest.approx(margin(logits, split.labels).tolist(), abs=1e-5)
    assert [row.broken for row in rows] == [False] * 12 + [True] * 2
    assert {(row.run, row.step, row.forwards, row.backwards) for row in rows} == {(0, 0, 1, 0)}


@pytest.mark.parametrize("seed", [0, 8])
def test_it_finds_what_the_attack_called_by_itself_finds(curved, split_of, seed):
    model, found = curved(), {}
    split = split_of(model, images=6, wrong=0)
    attack, threat = PGD(steps=2, keep="last"), Linf(0.01)
    driver = Driver(slots=6, on_found=lambda image, stage, point: found.update({image: point}))
    driver.run(model, split, AttackPlan((attack,), (threat,), seed=seed))
    points = attack(model, split.images, split.labels, threat, seed=seed, ids=split.ids)
    wrong = model.eval()(points).argmax(1) != split.labels
    assert found.keys() == set(split.ids[wrong].tolist()) != set()
    for image, point in zip(split.ids[wrong].tolist(), points[wrong], strict=True):
        assert torch.equal(found[image], point)


def test_where_no_images_are_to_be_kept_none_are_written(model, split, tmp_path):
    findings = Driver(slots=4, directory=tmp_path).run(model, split, AttackPlan((FGSM(),), (Linf(0.006),)))
    assert any(row.broken and row.stage != "clean" for row in findings.rows.values())
    assert not list(tmp_path.glob("adversarial-*"))


@pytest.mark.parametrize("shards", [1, 2])
def test_narrow_attacks_are_tried_on_the_chosen_images_alone(model, split, tmp_path, shards, kept):
    plan = AttackPlan((FGSM(),), (Linf(0.003),), narrow=(PGD(steps=2),), narrow_images=5)
    for shard in range(shards):
        Driver(slots=4, directory=tmp_path, shard=(shard, shards)).run(model, split, plan)
    tried = [{image for name, image, _ in kept(tmp_path) if name == stage + "@linf 0.003"} for stage in STAGES]
    ids, correct = set(split.ids.tolist()), set(split.ids[:-2].tolist())
    chosen = plan.images_of(1, split.labels, split.ids)
    assert tried == [correct, correct & chosen]
    assert len(chosen) == 5
    assert plan.images_of(0, split.labels, split.ids) == ids


@pytest.mark.parametrize("classes", [2, 4])
def test_what_holds_was_tried_towards_every_wrong_class(curved, split_of, classes):
    model = curved(classes=classes)
    split = split_of(model, classes=classes)
    plan = AttackPlan((PGD(steps=1, restarts=2, loss="targeted_margin"),), (Linf(1e-6),))
    findings = Driver(slots=4).run(model, split, plan)
    runs = {(image, run) for stage, image, run in findings.rows if stage != "clean"}
    assert runs == {(image, run) for image in split.ids.tolist()[:-2] for run in range(2 * (classes - 1))}
