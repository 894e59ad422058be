import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from robustpeft.attacks import PGD
from robustpeft.backbones import Backbone
from robustpeft.errors import UserError
from robustpeft.study import save_attack
from robustpeft.types import Linf

FEW = PGD(steps=2)


@pytest.fixture(scope="module")
def saved(run, digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("attack") / "new"
    return save_attack(run.model, digits, folder, Linf(0.1), attack=FEW, images=20, seed=5)


def test_float32_images_are_those_of_the_attack_and_files_are_them_rounded(saved, run, digits):
    said = json.loads(saved.read_text())
    (batch,) = digits.test.take(20, 5).batches(20)
    expected = FEW(run.model, batch.images, batch.labels, Linf(0.1), seed=5, ids=batch.ids)
    (name,) = said["tensors"]
    tensors = load_file(saved.parent / name)
    view = run.model.attack_view()
    assert len(said["images"]) == 20
    for row, entry in enumerate(said["images"]):
        assert entry["id"] == batch.ids[row]
        assert torch.equal(tensors[str(entry["id"])], expected[row])
        pixels = np.asarray(Image.open(saved.parent / entry["file"])).transpose(2, 0, 1)
        assert np.array_equal(pixels, (expected[row] * 255).round().numpy())
        assert entry["file"].split("/")[0] == digits.classes[entry["label"]]
        stored = torch.from_numpy(pixels.copy())[None].float() / 255
        answers = [int(view(x).argmax()) for x in (batch.images[row : row + 1], expected[row : row + 1], stored)]
        assert list(entry["source_says"].values()) == answers
    assert len({entry["file"] for entry in said["images"]}) == 20


def test_the_manifest_says_how_they_were_made(saved):
    said = json.loads(saved.read_text())
    assert said["attack"]["name"] == "pgd"
    assert said["threat"] == {"norm": "linf", "epsilon": 0.1}
    assert said["source"]["label"] == "FullLoRA"
    assert (said["seed"], said["data"]["split"], said["image_size"]) == (5, "test", [16, 16])
    assert 0.09 < said["largest"]["float32"] <= 0.1 + 1e-6
    assert said["largest"]["stored"] <= 0.1 + 0.5 / 255 + 1e-6
    assert said["largest"]["stored"] != said["largest"]["float32"]


def test_nothing_is_overwritten_and_a_threat_is_needed(saved, run, digits, tmp_path):
    with pytest.raises(UserError, match="is not empty"):
        save_attack(run.model, digits, saved.parent)
    with pytest.raises(UserError, match="not tuned for a threat"):
        save_attack(Backbone().load(), digits, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_the_threat_is_that_of_the_tuning(run, digits, tmp_path):
    manifest = save_attack(run.model, digits, tmp_path, attack=FEW, images=2, observer=lambda *p: seen.append(p))
    assert json.loads(manifest.read_text())["threat"]["epsilon"] == 0.05
    assert seen == [(2, 2)]


seen: list[tuple[int, int]] = []
