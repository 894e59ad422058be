import json
from collections.abc import Callable
from typing import Any


def test_a_folder_that_is_not_there_is_refused(place: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in("audit", place.run(), "--images", "nowhere", "--device", "cpu")
    assert ended.status == 2
    assert "nowhere is not a folder" in ended.err


def test_options_that_say_nothing_of_a_run_are_not_ignored_in_silence(place: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in("audit", place.run(), "--images", str(place.photos), "--normalization", "half")
    assert ended.status == 2
    assert "--normalization says nothing of a target of this kind (run); leave it out" in " ".join(ended.err.split())


def test_every_kind_of_model_that_an_audit_takes_judges_a_folder(place: Any, type_in: Callable[..., Any]) -> None:
    (place.path / "bright.py").write_text(
        "import torch\n\n\nclass Bright(torch.nn.Module):\n    def forward(self, images):\n"
        "        mean = images.mean(dim=(1, 2, 3))\n        return torch.stack([0.5 - mean, mean - 0.5], dim=1)\n"
    )
    options = ["--trust", "--image-size", "16", "--device", "cpu", "--class-order", "data", "--normalization", "none"]
    asked = ["audit", "bright:Bright", place.run(), "--images", str(place.photos), "-o", str(place.path / "out")]
    ended = type_in(*asked, *options)
    assert ended.status == 2
    assert "say with --data which" in " ".join(ended.err.split())
    ended = type_in(*asked[:2], *asked[3:], "--data", str(place.photos), *options)
    assert ended.status == 0, ended.err
    written = json.loads((place.path / "out" / "folder_audit.json").read_text())
    assert written["counts"]["n"] == 24
