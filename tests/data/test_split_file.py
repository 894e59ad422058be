import json

import pytest

from robustpeft.data.split_file import SavedSplit, SplitSettings, read_split, write_split
from robustpeft.errors import UserError

DEFAULT = SplitSettings(0.15, 0.2, 0, None)
SAVED = SavedSplit(
    SplitSettings(0.15, 0.3, 0, None), ("c2", "c10"), {"train": ("c2/a.png",), "validation": (), "test": ("c10/b.png",)}
)


def test_a_split_is_read_as_it_was_written(tmp_path):
    file = tmp_path / "new" / "split.json"
    assert read_split(file) is None
    write_split(SAVED, file)
    assert read_split(file) == SAVED
    assert [p.name for p in file.parent.iterdir()] == ["split.json"]


def test_both_orders_of_the_classes_are_stored(tmp_path):
    write_split(SAVED, tmp_path / "s.json")
    plain = json.loads((tmp_path / "s.json").read_text())
    assert plain["classes"] == ["c2", "c10"]
    assert plain["classes_in_plain_order"] == ["c10", "c2"]


def test_settings_left_at_their_default_yield_to_the_file(tmp_path):
    SAVED.check(DEFAULT, DEFAULT, tmp_path)
    SAVED.check(SplitSettings(0.15, 0.3, 0, None), DEFAULT, tmp_path)


@pytest.mark.parametrize("wanted", [SplitSettings(0.15, 0.25, 0, None), SplitSettings(0.15, 0.3, 0, "x")])
def test_settings_that_were_asked_for_and_differ_are_refused(wanted, tmp_path):
    with pytest.raises(UserError, match="was asked for, but it was made with"):
        SAVED.check(wanted, DEFAULT, tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"robustpeft_split": 1, "settings": {}, "classes": [], "files": {}}', "\xff"]
)
def test_another_file_is_refused(text, tmp_path):
    file = tmp_path / "s.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="is not a saved split"):
        read_split(file)


def test_another_version_and_an_image_in_two_splits_are_refused(tmp_path):
    file = tmp_path / "s.json"
    write_split(SAVED, file)
    plain = json.loads(file.read_text())
    file.write_text(json.dumps(plain | {"robustpeft_split": 9}))
    with pytest.raises(UserError, match="version 9"):
        read_split(file)
    file.write_text(json.dumps(plain | {"files": plain["files"] | {"test": ["c2/a.png"]}}))
    with pytest.raises(UserError, match="more than one place"):
        read_split(file)


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="give split_file a place"):
        write_split(SAVED, tmp_path / "file" / "split.json")
