"""Whatever a person may get wrong ends with status 2 and one message that says what and where.

One file, though long: it is one table of mistakes and one test over it.
"""

import errno
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from safetensors.torch import load_file, save_file

from robustpeft.cli.user_errors import readable
from robustpeft.errors import UserError
from robustpeft.records import AuditRecord, DataInfo, Measurement, Rate, Subject, write_record


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def malicious_pickle(p: Any) -> list[str]:
    (p.path / "weights.pth").write_bytes(pickle.dumps({"head.weight": Malicious()}, protocol=2))
    return p.tune(f"backbone.weights={p.path / 'weights.pth'}")


def weights_that_do_not_fit(p: Any) -> list[str]:
    save_file({"blocks.0.wrong": torch.zeros(3)}, p.path / "weights.safetensors")
    return p.tune(f"backbone.weights={p.path / 'weights.safetensors'}")


def broken_photo(p: Any) -> list[str]:
    (p.photos / "cat" / "3.png").write_bytes(b"not an image")
    return p.tune()


def empty_folder(p: Any) -> list[str]:
    (p.path / "empty").mkdir()
    return p.tune("data.path=empty")


def folder_without_classes(p: Any) -> list[str]:
    return p.tune("data.path=photos/cat")


def occupied(p: Any, *flags: str) -> list[str]:
    (p.path / "new").mkdir()
    (p.path / "new" / "thesis.txt").write_text("mine")
    return [*p.tune(), *flags]


def output_is_a_file(p: Any) -> list[str]:
    p.write("new", "")
    return p.tune()


def without(p: Any, name: str, *command: str) -> list[str]:
    (p.run() / name).unlink()
    return [*command, "run"]


def unfinished(p: Any) -> list[str]:
    return without(p, "robustpeft.json", "audit")


def damaged(p: Any, name: str) -> list[str]:
    file = p.run() / name
    file.write_bytes(file.read_bytes()[:40])
    return ["audit", "run"]


def changed_sidecar(p: Any, **changes: Any) -> list[str]:
    file = p.run() / "robustpeft.json"
    said = json.loads(file.read_text())
    backbone = said["backbone"] | changes.pop("backbone", {})
    file.write_text(json.dumps(said | {"backbone": backbone} | changes))
    return ["audit", "run"]


def sidecar_without_fields(p: Any) -> list[str]:
    (p.run() / "robustpeft.json").write_text('{"version": 1}')
    return ["audit", "run"]


def adapter_of_another_shape(p: Any) -> list[str]:
    file = p.run() / "adapter_model.safetensors"
    save_file({name: tensor[..., :1].contiguous() for name, tensor in load_file(file).items()}, file)
    return ["audit", "run"]


def record(digest: str = "d" * 64) -> AuditRecord:
    return AuditRecord(
        Subject("LoRA", "digits_vit", "b" * 64, 100, 400),
        DataInfo("photos", "test", 4, ("cat", "dog"), (16, 16), digest),
        (Measurement("clean", "clean", "clean", Rate(3, 4), (Rate(2, 2), Rate(1, 2))),),
    )


def records_of_different_data(p: Any) -> list[str]:
    write_record(record(), p.path / "a")
    write_record(record("e" * 64), p.path / "b")
    return ["report", "a", "b"]


def changed_record(p: Any, text: str | None = None, **changes: Any) -> list[str]:
    file = write_record(record(), p.path / "a")
    file.write_text(text or json.dumps(json.loads(file.read_text()) | changes))
    return ["report", "a"]


def audited_before(p: Any) -> list[str]:
    write_record(record(), p.run() / "audit" / "lora")
    return ["audit", "run"]


def no_images_to_predict(p: Any) -> list[str]:
    (p.path / "empty").mkdir()
    return ["predict", str(p.run()), "empty"]


def predictions_exist(p: Any) -> list[str]:
    p.write("predictions.csv", "mine")
    return ["predict", str(p.run()), "photos"]


def copy_exists(p: Any) -> list[str]:
    p.write("lora-digits.yaml", "mine")
    return ["copy", "lora-digits"]


def no_recipe_in_the_run(p: Any) -> list[str]:
    return without(p, "recipe.yaml", "audit")


def same_run_twice(p: Any) -> list[str]:
    return ["audit", str(p.run()), "run"]


MISTAKES: dict[str, tuple[Callable[[Any], Iterable[str]], tuple[str, ...]]] = {
    "unknown recipe": (lambda p: ["tune", "fullora-digits"], ("fullora-digits", "did you mean 'fulllora-digits'")),
    "unknown method": (lambda p: p.tune("method=fulllra"), ("unknown method 'fulllra'", "did you mean 'fulllora'")),
    "unknown attack": (lambda p: p.tune("objective.attack=pdg"), ("unknown attack 'pdg'", "did you mean 'pgd'")),
    "unknown objective": (lambda p: p.tune("objective=naturl"), ("unknown objective", "did you mean 'natural'")),
    "unknown data source": (lambda p: p.tune("data=digts"), ("unknown data set 'digts'", "did you mean 'digits'")),
    "unknown backbone": (
        lambda p: p.tune("backbone.name=vit_tny_patch16_224"),
        ("unknown backbone", "did you mean 'vit_tiny_patch16_224'"),
    ),
    "unknown norm": (lambda p: p.tune("threat={norm: linfty, epsilon: 0.1}"), ("linfty", "did you mean 'linf'")),
    "unknown key": (lambda p: p.tune("training.epoch=3"), ("training.epoch", "did you mean 'epochs'")),
    "unknown key at the top": (lambda p: p.tune("trainig.epochs=3"), ("trainig", "did you mean 'training'")),
    "wrong type": (lambda p: p.tune("training.epochs=many"), ("training.epochs", "valid integer", "'many'")),
    "wrong choice": (lambda p: p.tune("training.optimizer=adam"), ("training.optimizer", "'adamw'", "'adam'")),
    "epsilon of 8": (lambda p: p.tune("threat.epsilon=8"), ("pixel units", "did you mean 8 / 255")),
    "negative epochs": (lambda p: p.tune("training.epochs=-1"), ("training", "epochs", "at least 1", "-1")),
    "override without value": (lambda p: p.tune("training.epochs"), ("key.sub=value", "'training.epochs'")),
    "override of bad YAML": (lambda p: p.tune("method=[lora"), ("'method=[lora'", "not valid YAML")),
    "override into a value": (lambda p: p.tune("audit.attacks.0.loss.x=1"), ("audit.attacks",)),
    "override past a list": (lambda p: p.tune("audit.attacks.7.steps=1"), ("audit.attacks.7.steps=1", "1 entries")),
    "override into a list": (lambda p: p.tune("audit.attacks.pgd.steps=1"), ("audit.attacks.pgd", "number")),
    "recipe of bad YAML": (lambda p: ["tune", p.write("bad.yaml", "a: [b")], ("bad.yaml", "not valid YAML")),
    "recipe that is a list": (lambda p: ["tune", p.write("l.yaml", "- a")], ("l.yaml", "mapping", "list")),
    "recipe that is no text": (lambda p: ["tune", str(p.photos / "cat" / "0.png")], ("0.png", "not valid YAML")),
    "output not empty": (occupied, ("new", "not empty")),
    "output that is a file": (output_is_a_file, ("new", "is a file")),
    "foreign output": (lambda p: occupied(p, "--overwrite"), ("new", "not a run", "not touched")),
    "resume and overwrite": (lambda p: [*p.tune(), "--resume", "--overwrite"], ("resume", "overwrite", "one of the")),
    "empty folder": (empty_folder, ("empty", "has no images", "CLASS/IMAGE")),
    "folder without classes": (folder_without_classes, ("12 images but no class folders",)),
    "missing folder": (lambda p: p.tune("data.path=nowhere"), ("nowhere", "not a folder")),
    "broken image": (broken_photo, ("1 of 24 images", "cat/3.png")),
    "no validation images": (lambda p: p.tune("data.validation=0"), ("validation",)),
    "missing weights": (lambda p: p.tune("backbone.weights=gone.safetensors"), ("no weights file", "gone.safetensors")),
    "weights that do not fit": (weights_that_do_not_fit, ("does not fit", "missing", "unexpected", "blocks.0.wrong")),
    "weights of unknown format": (lambda p: p.tune(f"backbone.weights={p.write('w.xyz', 'x')}"), ("w.xyz", ".npz")),
    "malicious pickle": (malicious_pickle, ("refused", "nothing in it was executed", "mkdir")),
    "class count": (lambda p: p.tune("backbone.num_classes=3"), ("3 classes", "photos has 2")),
    "unknown component": (lambda p: p.tune("method.components=[q, fc3]"), ("component 'fc3'", "did you mean 'fc")),
    "rank 0": (lambda p: p.tune("method.r=0"), ("method", "r must be at least 1", "0")),
    "rank too large": (lambda p: p.tune("method.r=65"), ("r = 65", "64", "blocks.0.attn.qkv")),
    "no component": (lambda p: p.tune("method.components=[]"), ("match nothing", "patch_embed, q, k, v")),
    "unknown device": (lambda p: [*p.tune(), "--device", "abacus"], ("no device 'abacus'", "'auto' or 'cpu'")),
    "unknown option": (lambda p: ["tune", p.recipe, "--epochs", "3"], ("--epochs",)),
    "option of wrong type": (lambda p: ["audit", "run", "--seed", "many"], ("--seed", "valid integer")),
    "missing run": (lambda p: ["audit", "nowhere"], ("nowhere", "not a finished run")),
    "unfinished run": (unfinished, ("not a finished run", "robustpeft.json", "resume")),
    "damaged sidecar": (lambda p: damaged(p, "robustpeft.json"), ("robustpeft.json", "damaged")),
    "sidecar version": (lambda p: changed_sidecar(p, version=99), ("version 99", "reads version 1")),
    "sidecar without fields": (sidecar_without_fields, ("robustpeft.json", "damaged", "backbone", "missing")),
    "damaged adapter": (lambda p: damaged(p, "adapter_model.safetensors"), ("adapter", "damaged")),
    "missing adapter": (lambda p: without(p, "adapter_model.safetensors", "audit"), ("no adapter", "missing")),
    "another backbone": (lambda p: changed_sidecar(p, backbone={"seed": 1}), ("other weights", "digest")),
    "adapter of another shape": (adapter_of_another_shape, ("does not fit", "another shape")),
    "audit of unknown data": (lambda p: ["audit", str(p.run()), "--data", "digts"], ("'digts'", "'digits'")),
    "audit of other classes": (lambda p: ["audit", str(p.run()), "--data", "digits"], ("2 classes", "digits has 10")),
    "audit of unknown split": (lambda p: ["audit", str(p.run()), "--split", "tst"], ("'tst'", "did you mean 'test'")),
    "audit at epsilon 8": (lambda p: ["audit", str(p.run()), "--epsilons", "8"], ("did you mean 8 / 255",)),
    "audit at no number": (lambda p: ["audit", str(p.run()), "--epsilons", "a,b"], ("audit.epsilons", "number")),
    "audit in unknown norm": (
        lambda p: ["audit", str(p.run()), "--norm", "l3", "--epsilons", "1"],
        ("unknown norm 'l3'", "Valid: l1, l2, linf"),
    ),
    "norm without epsilons": (lambda p: ["audit", str(p.run()), "--norm", "l2"], ("epsilons", "'l2'", "linf")),
    "audit with unknown attack": (lambda p: ["audit", str(p.run()), "--attack", "pdg"], ("did you mean 'pgd'",)),
    "attack with unknown field": (
        lambda p: ["audit", str(p.run()), "--attack", "pgd:step=3"],
        ("'audit.attacks.0.step'", "did you mean 'step"),
    ),
    "attack without a value": (lambda p: ["audit", str(p.run()), "--attack", "pgd:steps="], ("FIELD=VALUE",)),
    "attack without a name": (lambda p: ["audit", str(p.run()), "--attack", "steps=3"], ("NAME:FIELD=VALUE",)),
    "no images asked for": (lambda p: ["audit", str(p.run()), "--images", "0"], ("images", "at least 1")),
    "audited before": (audited_before, ("holds an audit already", "overwrite")),
    "same run twice": (same_run_twice, ("given twice",)),
    "no recipe in the run": (no_recipe_in_the_run, ("not tuned from a recipe", "--data")),
    "no images to predict": (no_images_to_predict, ("no images", "empty")),
    "nothing to predict": (lambda p: ["predict", str(p.run()), "nowhere"], ("nothing at nowhere",)),
    "predictions exist": (predictions_exist, ("predictions.csv exists", "--overwrite")),
    "missing record": (lambda p: ["report", "nowhere"], ("no audit record at nowhere", "audit.json")),
    "damaged record": (lambda p: changed_record(p, text='{"schema_version": 1, '), ("audit.json", "not an audit")),
    "record without fields": (lambda p: changed_record(p, text='{"schema_version": 1}'), ("audit.json", "damaged")),
    "record version": (lambda p: changed_record(p, schema_version=99), ("record version 99", "reads 3")),
    "records of different data": (records_of_different_data, ("cannot stand in one report", "digest")),
    "copy of nothing": (lambda p: ["copy", "lora-digit"], ("'lora-digit'", "did you mean 'lora-digits'")),
    "copy exists": (copy_exists, ("lora-digits.yaml exists",)),
    "copy into nowhere": (lambda p: ["copy", "lora-digits", "nowhere/a.yaml"], ("nowhere/a.yaml", "No such file")),
    "list of nothing": (lambda p: ["list", "method"], ("'method'", "did you mean 'methods'")),
    "unknown command": (lambda p: ["tunes"], ("tunes",)),
}


def contents(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_with_status_2_and_one_message(mistake: str, place: Any, type_in: Callable[..., Any]) -> None:
    make, words = MISTAKES[mistake]
    arguments = make(place)
    before = contents(place.path)
    ended = type_in(*arguments)
    assert ended.status == 2, ended
    assert "Traceback" not in ended.err
    said = " ".join(ended.err.replace("\u2502", " ").split())
    assert [word for word in words if word not in said] == [], ended.err
    after = contents(place.path)
    assert {name: after.get(name) for name in before} == before, "something of the person's was lost"
    assert not Path("executed").exists()


def test_a_broken_weights_file_is_told_by_the_real_command_without_a_traceback(place: Any) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "robustpeft", *malicious_pickle(place)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ")
    assert "Traceback" not in ended.stderr
    assert not Path("executed").exists()


def test_a_bug_keeps_its_traceback() -> None:
    def command() -> None:
        raise IndexError("a bug")

    with pytest.raises(IndexError):
        readable(command)()


def test_an_os_error_that_names_no_file_is_a_bug_unless_the_disk_is_full(capsys: pytest.CaptureFixture[str]) -> None:
    def command(number: int) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(OSError, match="Bad file"):
        readable(command)(errno.EBADF)
    with pytest.raises(typer.Exit) as left:
        readable(command)(errno.ENOSPC)
    assert left.value.exit_code == 2
    assert capsys.readouterr().err == "error: No space left on device\n"


def test_an_interruption_has_the_status_that_shells_give_it(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as left:
        readable(command)()
    assert left.value.exit_code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_message_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise UserError("what [was] given")

    with pytest.raises(typer.Exit):
        readable(command)()
    assert capsys.readouterr().err == "error: what [was] given\n"
