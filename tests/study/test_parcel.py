import dataclasses
import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from robustpeft.errors import UserError
from robustpeft.records import read_record, write_record
from robustpeft.study.card import GENERATED
from robustpeft.study.parcel import Parcel, check_adapter, pack


@pytest.fixture
def there(audited_run, tmp_path):
    return shutil.copytree(audited_run, tmp_path / "ann smith" / "run")


def text_of(parcels):
    return {p.name: p.content.decode() for p in parcels if isinstance(p.content, bytes)}


def change(path, **values):
    file = path / "robustpeft.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_only_the_adapter_and_its_audit_travel(there):
    (there / "checkpoints").mkdir(exist_ok=True)
    (there / "checkpoints" / "last.pt").write_bytes(b"pickle")
    (there / "photos").mkdir()
    (there / "photos" / "me.png").write_bytes(b"png")
    (there / "recipe.yaml").write_text("data: {source: folder, path: /home/ann/photos}")
    assert [p.name for p in pack(there, "ann/digits")] == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "README.md",
        "audits/digits-test/audit.json",
        "audits/digits-test/audit_images.jsonl",
        "robustpeft.json",
    ]


def test_the_audit_that_travels_counts_the_same_and_shows_no_image(there, tmp_path):
    for parcel in pack(there, "ann/digits"):
        if parcel.name.startswith("audits/"):
            (tmp_path / parcel.name.rpartition("/")[2]).write_bytes(parcel.content)
    sent, kept = read_record(tmp_path), read_record(there / "audit" / "fulllora")
    assert kept.gallery
    assert sent.gallery == ()
    assert sent.measurements == kept.measurements
    assert sent.rows == kept.rows


def test_no_path_of_this_machine_is_in_what_is_sent(there, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "ann smith")
    folder = there / "audit" / "fulllora"
    command = f"robustpeft audit '{there}' --data /data/faces/private --weights ~/w.pth"
    write_record(dataclasses.replace(read_record(folder), command=command), folder)
    said = json.loads((there / "robustpeft.json").read_text())
    said["backbone"]["weights"] = str(tmp_path / "vit.safetensors")
    said["tuning"] |= {"start": str(there), "data_note": "cut out of C:\\Users\\Ann\\faces"}
    change(there, **said)
    texts = text_of(pack(there, "ann/digits"))
    whole = "\n".join(texts.values())
    for leak in (str(tmp_path), "/data/faces", "~/w.pth", "ann smith", "Users", "\\Ann"):
        assert leak not in whole
    assert json.loads(texts["robustpeft.json"])["backbone"]["weights"] == "vit.safetensors"
    assert json.loads(texts["audits/digits-test/audit.json"])["command"].startswith("robustpeft audit ")


def test_a_path_in_words_of_ones_own_or_in_the_tensors_file_stops_it(there):
    card = there / "README.md"
    card.write_text("# mine\n\nsee /home/ann/notes/x.txt")
    with pytest.raises(UserError, match=r"README\.md would carry /home/ann/notes/x\.txt, a path of this machine"):
        pack(there, "ann/digits")
    card.unlink()
    file = there / "adapter_model.safetensors"
    save_file(load_file(file), file, metadata={"format": "pt", "from": "/home/ann/tuning"})
    with pytest.raises(UserError, match=r"adapter_model\.safetensors would carry /home/ann/tuning"):
        pack(there, "ann/digits")


def test_words_of_ones_own_are_kept(there):
    card = there / "README.md"
    assert GENERATED in text_of(pack(there, "a/b"))["README.md"]
    card.write_text(card.read_text().replace(GENERATED, "") + "\nMine: ärger\n", encoding="utf-8")
    sent = text_of(pack(there, "a/b"))["README.md"]
    assert sent == card.read_text(encoding="utf-8")
    with pytest.raises(UserError, match=r"in your own words, so say the license in its first lines: license: mit"):
        pack(there, "a/b", license_id="mit")


def test_frozen_weights_that_no_name_builds_travel_too(there):
    shutil.copy(there / "adapter_model.safetensors", there / "start.safetensors")
    said = json.loads((there / "robustpeft.json").read_text())
    change(there, backbone=said["backbone"] | {"weights": str(there / "start.safetensors")})
    parcels = pack(there, "ann/digits")
    assert Parcel("start.safetensors", there / "start.safetensors") in parcels


def test_an_audit_of_something_else_does_not_travel(there, caplog):
    with caplog.at_level("INFO", "robustpeft"):
        shutil.move(there / "audit", there.parent / "elsewhere")
        assert not [p for p in pack(there, "a/b") if p.name.startswith("audits/")]
    assert "noted an audit of digits/test, whose record is not there" in caplog.text
    elsewhere = there.parent / "elsewhere" / "fulllora"
    assert [p for p in pack(there, "a/b", audits=[elsewhere]) if p.name.startswith("audits/")]
    record = read_record(elsewhere)
    write_record(dataclasses.replace(record, created="2020-01-01T00:00:00Z"), elsewhere)
    with pytest.raises(
        UserError, match=r"is not an audit that .* noted: of another model, other images or other counts"
    ):
        pack(there, "a/b", audits=[elsewhere])


def test_what_is_not_whole_is_not_sent(there):
    file = there / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match="is damaged"):
        pack(there, "a/b")
    file.unlink()
    with pytest.raises(UserError, match="is damaged"):
        check_adapter(there)
    (there / "robustpeft.json").unlink()
    with pytest.raises(UserError, match="is not a finished run"):
        pack(there, "a/b")
