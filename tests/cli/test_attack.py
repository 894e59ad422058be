import json
from collections.abc import Callable
from typing import Any


def test_images_are_saved_and_can_be_audited(place: Any, type_in: Callable[..., Any]) -> None:
    run = place.run()
    ended = type_in("attack", run, "--save", "made", "--images", "3", "--attack", "pgd:steps=2", "--device", "cpu")
    assert ended.status == 0, ended.err
    assert "manifest: made/manifest.json\n" in ended.out
    assert len(list((place.path / "made").glob("*/*.png"))) == 3
    audited = type_in("audit", run, "--images", "made", "--device", "cpu")
    assert audited.status == 0, audited.err
    assert "as float32" in audited.out
    assert "made against LoRA by pgd" in audited.out
    record = json.loads((run / "audit_of_folder" / "folder_audit.json").read_text())
    assert record["counts"]["n"] == 3
    again = type_in("attack", run, "--save", "made", "--device", "cpu")
    assert again.status == 2
    assert "is not empty" in again.err


def test_any_folder_is_audited_by_several_runs(place: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in("audit", place.run("a"), place.run("b"), "--images", "photos", "--output", "out", "--device", "cpu")
    assert ended.status == 0, ended.err
    assert ended.out.count("24") >= 2
    assert "how the images were made is not known" in ended.out
    assert {p.parent.name for p in (place.path / "out").glob("*/folder_audit.json")} == {"a", "b"}
