import json
from collections.abc import Callable
from typing import Any


def test_the_matrix_is_printed_and_written(place: Any, type_in: Callable[..., Any]) -> None:
    first, second = place.run("a"), place.run("b")
    command = ["compare", first, second, "--undefended", "--images", "3", "--device", "cpu"]
    ended = type_in(*command, "--attack", "pgd:steps=2", "--epsilon", "8/255")
    assert ended.status == 0, ended.err
    record = json.loads((place.path / "compare" / "transfer.json").read_text())
    assert [subject["label"] for subject in record["subjects"]][:2] == ["LoRA (a)", "LoRA (b)"]
    assert len(record["subjects"]) == 3
    assert record["counts"]["n"] == 3
    assert record["attack"]["steps"] == 2
    assert abs(record["threat"]["epsilon"] - 8 / 255) < 1e-12
    assert "made against" in ended.out
    assert ended.out.rstrip().endswith("transfer.html")
    again = type_in(*command)
    assert again.status == 2
    assert "holds a comparison already" in again.err


def test_what_cannot_be_compared_is_refused(place: Any, type_in: Callable[..., Any]) -> None:
    run = place.run("a")
    assert "at least two runs" in type_in("compare", run, "--device", "cpu").err
    assert "given twice" in type_in("compare", run, run, "--device", "cpu").err
    other = type_in("compare", run, place.run("b"), "--norm", "l2", "--device", "cpu")
    assert other.status == 2
    assert "epsilon must be given with norm 'l2'" in other.err
