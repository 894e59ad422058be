import json
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from robustpeft.cli.progress_lines import LineReporter
from robustpeft.study import read_recipe


def test_a_run_is_made_and_the_next_command_is_named(place: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in(*place.tune("training.epochs=1"))
    assert ended.status == 0
    new = place.path / "new"
    assert ended.out.splitlines()[-2:] == [f"run: {new}", f"next: robustpeft audit {new}"]
    assert (new / "adapter_model.safetensors").is_file()
    assert read_recipe(str(new / "recipe.yaml")) == read_recipe(place.recipe, ["training.epochs=1"])


def test_without_a_terminal_there_is_one_line_per_epoch(place: Any, type_in: Callable[..., Any]) -> None:
    lines = type_in(*place.tune()).out.splitlines()
    assert [line.split(",")[0].strip() for line in lines if "epoch" in line and "loss" in line] == [
        "epoch 1/2",
        "epoch 2/2",
    ]


def test_the_default_output_is_named_after_the_recipe(place: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in("tune", place.recipe, "training.epochs=1", "--device", "cpu")
    assert "run: runs/tiny" in ended.out


def test_without_an_adversary_no_robust_accuracy_is_claimed(place: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in(*place.tune("training.epochs=1", "objective=natural"))
    assert ended.status == 0
    assert "robust " not in ended.out


def test_warnings_about_the_data_are_said(place: Any, type_in: Callable[..., Any]) -> None:
    place.write("photos/cat/notes.txt", "")
    assert "warning: photos: files that are no images" in type_in(*place.tune("training.epochs=1")).err


def test_a_new_head_is_said(place: Any, type_in: Callable[..., Any]) -> None:
    from safetensors.torch import save_file

    from robustpeft.backbones import load_backbone

    weights = place.path / "ten.safetensors"
    save_file(load_backbone("digits_vit", weights=None).network.state_dict(), weights)
    ended = type_in(*place.tune(f"backbone.weights={weights}", "training.epochs=1"))
    assert "note: ten.safetensors has a head of 10 classes; head starts anew with 2 classes" in ended.err
    later = type_in("predict", "new", "photos", "--device", "cpu")
    assert later.status == 0, later.err
    assert "starts anew" not in later.err, "the run brings its head"


def interrupt(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    def tuning(self: LineReporter, progress: Any) -> None:
        if progress.epoch == epoch:
            raise KeyboardInterrupt

    monkeypatch.setattr(LineReporter, "tuning", tuning)


def test_after_ctrl_c_the_printed_command_goes_on_to_the_same_result(
    place: Any, type_in: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        interrupt(patched, epoch=2)
        ended = type_in(*place.tune())
    assert ended.status == 130
    message, command = ended.err.strip().splitlines()
    assert message == "interrupted after 1 of 2 epochs; the last checkpoint is kept: go on with"
    program, *arguments = shlex.split(command)
    assert program == "robustpeft"
    assert type_in(*arguments).status == 0
    adapter = "adapter_model.safetensors"
    assert (place.path / "new" / adapter).read_bytes() == (place.finished / adapter).read_bytes()


def test_ctrl_c_in_the_first_epoch_promises_no_checkpoint(
    place: Any, type_in: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(monkeypatch, epoch=1)
    ended = type_in(*place.tune())
    assert (ended.status, ended.err) == (
        130,
        "interrupted before the first epoch was complete; there is no checkpoint\n",
    )


def test_overwrite_replaces_a_run(place: Any, type_in: Callable[..., Any]) -> None:
    run = place.run("new")
    (run / "old.txt").write_text("")
    assert type_in(*place.tune("training.epochs=1", "seed=5"), "--overwrite").status == 0
    assert not (run / "old.txt").exists()
    assert json.loads((run / "robustpeft.json").read_text())["tuning"]["seed"] == 5


def test_a_recipe_that_cannot_be_attached_deletes_nothing(place: Any, type_in: Callable[..., Any]) -> None:
    run = place.run("new")
    assert type_in(*place.tune("method.r=65"), "--overwrite").status == 2
    assert (run / "adapter_model.safetensors").is_file()


def test_own_photographs_need_a_path(type_in: Callable[..., Any], place: Any) -> None:
    ended = type_in("tune", "fulllora-folder", "backbone.name=digits_vit", "backbone.weights=false")
    assert ended.status == 2
    assert "data.path=PATH" in ended.err


def test_a_dry_run_says_what_it_costs_and_writes_no_run(place: Any, type_in: Callable[..., Any]) -> None:
    before = set(place.path.rglob("*"))
    ended = type_in(*place.tune("--dry-run", "--set", "training.batch_size=4", "--set", "method.r=1"))
    assert ended.status == 0
    words = [line.split()[0] for line in ended.out.splitlines()]
    assert words == ["trained", "memory", "time", "disk", "this"]
    left = set(place.path.rglob("*")) - before
    assert {path.name for path in left} <= {"robustpeft_split.json"}  # the data's own: which photographs are for what


def test_set_is_another_way_to_override(place: Any, type_in: Callable[..., Any]) -> None:
    assert type_in(*place.tune("training.epochs=3", "--set", "training.epochs=1", "--set", "seed=4")).status == 0
    assert read_recipe(str(place.path / "new" / "recipe.yaml")) == read_recipe(
        place.recipe, ["training.epochs=1", "seed=4"]
    )


def test_the_search_for_a_rate_is_recorded_and_said(place: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in(*place.tune("--find-lr", "training.epochs=1"))
    assert ended.status == 0
    record = json.loads((place.path / "new" / "learning_rates.json").read_text())
    assert len(record["trials"]) == 5
    assert f"learning rate {record['chosen']:g}: the best of 5 trials" in ended.out
    lines = [line.split(",")[0].strip() for line in ended.out.splitlines() if "loss" in line]
    assert lines == [f"learning rate {rate}: epoch 1/1" for rate in (0.0001, 0.0006, 0.003, 0.02, 0.1)] + ["epoch 1/1"]


def test_only_the_first_of_several_processes_speaks(
    place: Any, type_in: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robustpeft.cli.progress.is_spokesman", lambda: False)
    monkeypatch.setattr("robustpeft.cli.speaking.is_spokesman", lambda: False)
    monkeypatch.setattr("robustpeft.cli.tune.is_spokesman", lambda: False)
    place.write("photos/cat/notes.txt", "")
    ended = type_in(*place.tune("training.epochs=1"))
    assert (ended.status, ended.out, ended.err) == (0, "", "")
