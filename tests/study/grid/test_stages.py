"""Transfer matrices and distances between parameters, after the runs of a study."""

import dataclasses
import json

import pytest
import torch

from robustpeft.attacks import FGSM
from robustpeft.auditing import AuditPlan
from robustpeft.backbones import Backbone
from robustpeft.errors import UserError
from robustpeft.pet import Full
from robustpeft.records import read_study_record
from robustpeft.report.study import write_study_report
from robustpeft.study.distances import component_parameters, measure_distances
from robustpeft.study.grid import Local, Place, Store, Study, arms_of, forgive, run_study, summarise
from robustpeft.study.grid.stage_file import DistanceStage, TransferStage
from robustpeft.study.grid.stages import stage_tasks

TINY = {"training.epochs": 1, "training.train_images": 32, "training.selection_images": 16, "training.batch_size": 16}


@pytest.fixture
def asked():
    """Two seeds of full tuning with and without an adversary, one epoch on 32 images each, and both stages."""
    attacked = {"name": "pgd_at", "attack": {"name": "fgsm"}}
    points = (
        {"label": "standard", "set": {"method": "full", "objective": "natural"}},
        {"label": "robust", "set": {"method": "full", "objective": attacked}},
    )
    return Study(
        "s",
        "full-digits",
        set=TINY,
        axes={"arm": points},
        seeds=(1, 2),
        audit=AuditPlan((0.1,), attacks=(FGSM(),), perturbations=(), images=20, checks="none", gallery=0),
        transfers=(TransferStage(("standard", "robust"), 0.1, attack=FGSM(), images=20),),
        distances=(DistanceStage("standard", "robust"),),
    )


def test_stages_follow_the_runs_are_answered_once_and_stand_in_the_report(asked, tmp_path):
    place, events = Place(tmp_path / "study", tmp_path / "store", "cpu"), []
    assert [stage.failed for stage in summarise(asked, place).stages] == ["there is no run of standard, robust"] * 2
    record = run_study(asked, place, events.append)
    assert [(stage.kind, stage.failed) for stage in record.stages] == [("transfer", ""), ("distance", "")]
    matrix, distances = record.transfer(record.stages[0]), record.distance(record.stages[1])
    assert [subject.label for subject in matrix.subjects] == ["standard", "robust"]
    assert (matrix.data.n, matrix.threat, matrix.attack["name"]) == (20, {"norm": "linf", "epsilon": 0.1}, "fgsm")
    assert distances.seeds == (1, 2)
    assert all(share > 0 for row in distances.rows for share in row.between)
    titles = [event.title for event in events if event.kind == "done"]
    assert titles[-2:] == ["transfer: standard, robust", "distance: standard, robust"]
    again = []
    assert run_study(asked, place, again.append) == record == read_study_record(place.directory)
    assert again == []
    other = dataclasses.replace(asked, transfers=(dataclasses.replace(asked.transfers[0], images=10),))
    assert [stage.failed for stage in summarise(other, place).stages] == ["not done", ""]
    folder = write_study_report(record).parent
    for name in ("transfer-1", "distance-2"):
        assert all((folder / f"{name}.{kind}").is_file() for kind in ("svg", "pdf", "csv"))
    text = (folder / "report.md").read_text()
    assert "parameters lie farthest apart in" in text
    assert "Images made against robust turn" in text
    assert "Holm over 2 pairs" in text


def test_a_stage_of_an_arm_that_is_not_there_is_refused(asked):
    lost = dataclasses.replace(asked, distances=(DistanceStage("standard", "gone"),))
    with pytest.raises(UserError, match="grid 'main' has no arm 'gone'"):
        arms_of(lost)
    with pytest.raises(UserError, match="two or more different labels"):
        TransferStage(("standard", "standard"), 0.1)


def test_components_are_all_parameters_and_each_once():
    model = Backbone().load()
    parts = component_parameters(model)
    assert tuple(parts) == (
        *("patch_embed", "embeddings", "q", "k", "v", "proj", "fc1", "fc2", "norm scales", "norm biases", "head"),
    )
    assert sum(part.numel() for part in parts.values()) == sum(p.numel() for p in model.network.parameters())
    qkv = model.network.get_parameter("blocks.1.attn.qkv.weight").double()
    width = qkv.shape[1]
    assert torch.equal(parts["k"].reshape(len(model.seams.blocks), -1)[1][: width**2], qkv[width : 2 * width].flatten())


def test_the_distance_of_a_known_shift_is_known(tmp_path, monkeypatch):
    def tuned(run, trust):
        model = Backbone().load()
        Full().attach(model)
        with torch.no_grad():
            model.network.get_parameter("blocks.0.mlp.fc1.weight").mul_(run)
        return model

    monkeypatch.setattr("robustpeft.study.distances.load", tuned)
    labels, seeds = ("a", "b"), (1, 2)
    rows = {row.component: row for row in measure_distances([1.0, 1.0], [1.0, 3.0], labels, seeds, tmp_path).rows}
    assert (rows["q"].between, rows["q"].magnitudes, rows["q"].seeds_apart) == ((0.0, 0.0), (1.0, 1.0), (0.0, 0.0))
    before = Backbone().load().network.state_dict()
    fc1 = {name: tensor.double() for name, tensor in before.items() if ".mlp.fc1." in name}
    whole = sum(tensor.square().sum() for tensor in fc1.values()).sqrt()
    expected = float(2 * fc1["blocks.0.mlp.fc1.weight"].norm() / whole)
    assert rows["fc1"].between == pytest.approx((0.0, expected))
    assert rows["fc1"].adversarial == pytest.approx((0.0, expected))
    assert rows["fc1"].standard == (0.0, 0.0)


def test_runs_that_trained_a_part_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("robustpeft.study.distances.load", lambda run, trust: Backbone().load().requires_grad_(False))
    with pytest.raises(UserError, match="trained a part"):
        measure_distances([1], [1], ("a", "b"), (1,), tmp_path)
    with pytest.raises(UserError, match="as many runs of a as of b; got 1 and 0"):
        measure_distances([1], [], ("a", "b"), (1,), tmp_path)


@pytest.mark.slow
def test_stages_are_answered_by_workers_and_what_failed_is_tried_again(asked, tmp_path):
    place = Place(tmp_path / "study", tmp_path / "store", "cpu")
    run_study(asked, place)
    other = dataclasses.replace(asked, transfers=(dataclasses.replace(asked.transfers[0], images=10),))
    (task,) = stage_tasks(other, arms_of(other), Store(place.store))
    run = place.store / task.cells["robust"][0].identity / "run"
    hidden = run.rename(run.with_name("hidden"))
    elsewhere, events = dataclasses.replace(place, executor=Local(1)), []
    failed = run_study(other, elsewhere, events.append).stages[0]
    assert "robustpeft.json" in failed.failed
    assert [event.kind for event in events] == ["started", "failed"]
    assert Store(place.store).failure(task.identity).details.startswith("Traceback")
    hidden.rename(run)
    assert stage_tasks(other, arms_of(other), Store(place.store)) == ()
    assert forgive(other, Store(place.store)) == 1
    record = run_study(other, elsewhere)
    assert record.transfer(record.stages[0]).data.n == 10
    result = Store(place.store).result(task.identity)
    assert result.peak_of == "process"
    assert json.loads((place.store / task.identity / "experiment.json").read_text())["kind"] == "transfer"
