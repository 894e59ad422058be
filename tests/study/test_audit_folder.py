import json

import numpy as np
import pytest
import torch
from PIL import Image

from robustpeft.attacks import PGD
from robustpeft.errors import UserError
from robustpeft.study import audit_folder, save_attack
from robustpeft.types import Linf


@pytest.fixture
def saved(run, digits, tmp_path):
    return save_attack(run.model, digits, tmp_path / "made", Linf(0.1), attack=PGD(steps=2), images=20).parent


def test_saved_images_are_judged_as_files_and_as_float32(saved, run, tmp_path):
    record = audit_folder(run, saved, output=tmp_path / "out")
    said = json.loads((saved / "manifest.json").read_text())
    assert [row.prediction for row in record.rows] == [e["source_says"]["stored"] for e in said["images"]]
    assert [row.exact_prediction for row in record.rows] == [e["source_says"]["float32"] for e in said["images"]]
    assert record.manifest["attack"]["name"] == "pgd"
    assert "images" not in record.manifest
    written = json.loads((tmp_path / "out" / "folder_audit.json").read_text())
    assert written["counts"] == {"n": 20, "stored": record.stored.count, "exact": record.exact.count}


def test_a_folder_of_strangers_is_judged_by_its_names(run, digits, tmp_path):
    view = run.model.attack_view()
    for row in range(4):
        image, label = digits.test[row], int(digits.test.labels[row])
        place = tmp_path / digits.classes[label]
        place.mkdir(exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(place / f"{row}.png")
    record = audit_folder(run, tmp_path)
    found = {row.file.rpartition("/")[2]: (row.label, row.prediction) for row in record.rows}
    for row in range(4):
        expected = int(view(digits.test[row][None].float() / 255).argmax())
        assert found[f"{row}.png"] == (int(digits.test.labels[row]), expected)
    assert record.exact is None
    assert record.rounding is None
    assert record.manifest is None
    assert "not known" in record.note
    assert record.classes == digits.classes
    assert sum(rate.n for rate in record.per_class) == 4


def test_changed_tensors_are_refused_and_missing_ones_said(saved, run):
    (tensors,) = saved.glob("*.safetensors")
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(bytes(content))
    with pytest.raises(UserError, match="was changed"):
        audit_folder(run, saved)
    tensors.unlink()
    record = audit_folder(run, saved)
    assert record.exact is None
    assert "are not there" in record.note
    assert record.stored.n == 20


def test_a_manifest_of_another_kind_is_refused(saved, run):
    (saved / "manifest.json").write_text("[]")
    with pytest.raises(UserError, match="no manifest"):
        audit_folder(run, saved)
    (saved / "manifest.json").write_text('{"manifest_version": 7, "images": []}')
    with pytest.raises(UserError, match="version 7"):
        audit_folder(run, saved)


def test_what_cannot_be_judged_is_refused(run, tmp_path):
    with pytest.raises(UserError, match="takes a model from"):
        audit_folder(torch.nn.Identity(), tmp_path)
    (tmp_path / "unicorn").mkdir()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "unicorn" / "1.png")
    with pytest.raises(UserError, match="no classes of the model: unicorn"):
        audit_folder(run, tmp_path)
