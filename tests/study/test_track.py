"""What trackers are told: every step once, one run an experiment."""

import json
import sys
import types

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from robustpeft.errors import UserError
from robustpeft.records import ArmRecord, RunRecord, StudyRecord, TrialRecord, write_study_record
from robustpeft.study.track import track


def write(directory, steps):
    directory.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"step": step, "loss": 1 / step, "note": "words"}) for step in steps]
    (directory / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    return directory


@pytest.fixture
def wandb(monkeypatch):
    """W&B, of which only what it was told is kept: (id, step, values) in order, and the arguments of every start."""
    told, starts = [], []

    class Run:
        def __init__(self, options):
            self.id, self.summary = options["id"], {}

        def log(self, values, step):
            told.append((self.id, step, values))

        def finish(self):
            pass

    def init(**options):
        starts.append(options)
        return Run(options)

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init, told=told, starts=starts))
    return sys.modules["wandb"]


def test_a_step_is_sent_once_and_what_came_since_later(tmp_path, wandb):
    run = write(tmp_path / "run", [1, 2])
    assert [sent.steps for sent in track(run, "wandb")] == [2]
    assert [sent.steps for sent in track(run, "wandb")] == [0]
    write(run, [1, 2, 3])
    moved = run.rename(tmp_path / "moved")
    assert [sent.steps for sent in track(moved, "wandb")] == [1]
    assert [step for _, step, _ in wandb.told] == [1, 2, 3]
    assert len({identity for identity, _, _ in wandb.told}) == 1
    assert wandb.told[0][2] == {"loss": 1.0, "note": "words"}


def test_what_breaks_off_half_a_line_is_not_sent(tmp_path, wandb):
    run = write(tmp_path / "run", [1])
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "los')
    assert track(run, "wandb")[0].steps == 1


def test_an_experiment_that_arms_share_is_one_run(tmp_path, wandb):
    for identity in ("a", "b"):
        write(tmp_path / "store" / identity / "run", [1, 2])
    trial, run = TrialRecord("a", {"training.learning_rate": 0.1}), RunRecord("b", 7)
    arms = tuple(ArmRecord("main", label, label, {}, {}, (), (trial,), (run,)) for label in ("x", "y"))
    write_study_record(StudyRecord("s", "", "smoke", "../store", arms, directory=tmp_path / "study"))
    sent = track(tmp_path / "study", "wandb", project="p", offline=True)
    assert [each.name for each in sent] == ["main: x, trial learning_rate 0.1", "main: x, seed 7"]
    assert [(start["project"], start["group"], start["mode"]) for start in wandb.starts] == [
        ("p", "s-smoke", "offline")
    ] * 2
    assert len({identity for identity, _, _ in wandb.told}) == 2


def test_tensorboard_is_written_anew_from_the_metrics(tmp_path):
    run = write(tmp_path / "deep" / "run", [1, 2, 3])
    for _ in range(2):
        assert [(sent.name, sent.steps) for sent in track(tmp_path, "tensorboard")] == [("deep/run", 3)]
    board = EventAccumulator(str(run / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("loss")] == [1, 2, 3]
    assert [event.value for event in board.Scalars("loss")] == pytest.approx([1.0, 0.5, 1 / 3])
    assert board.Tags()["scalars"] == ["loss"]


def test_mistakes_are_told(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"no metrics.jsonl under"):
        track(tmp_path, "wandb")
    with pytest.raises(UserError, match="unknown tracker 'mlflow'; there are wandb, tensorboard"):
        track(tmp_path, "mlflow")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"robustpeft\[wandb\]"):
        track(write(tmp_path / "run", [1]), "wandb")


@pytest.mark.slow
def test_wandb_itself_takes_it_without_a_network(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = write(tmp_path / "run", [1, 2])
    assert track(run, "wandb", offline=True)[0].steps == 2
    assert len(list((run / "wandb").glob("offline-run-*"))) == 1
    assert track(run, "wandb", offline=True)[0].steps == 0
    assert len(list((run / "wandb").glob("offline-run-*"))) == 1
