import pytest

from robustpeft.data.folder_scan import FolderContent, FoundImage
from robustpeft.data.folder_split import assign
from robustpeft.data.split_file import SplitSettings, write_split
from robustpeft.errors import UserError

DEFAULT = SplitSettings(0.15, 0.2, 0, None)
GROUPED = SplitSettings(0.15, 0.2, 0, r"(obj\d+)_")


def content(*paths: str, splits: bool = False) -> FolderContent:
    images = tuple(
        FoundImage(p, p.split("/")[-2], {"val": "validation"}.get(p.split("/")[0], p.split("/")[0]) if splits else "")
        for p in paths
    )
    return FolderContent(tuple(sorted({i.class_name for i in images})), images, ())


PLAIN = [f"{c}/obj{i % 8}_{i}.png" for c in "ab" for i in range(24)]


def test_a_new_split_is_handed_back_to_be_saved_and_then_read(tmp_path):
    file = tmp_path / "s.json"
    first = assign(content(*PLAIN), DEFAULT, DEFAULT, file)
    assert first.unsaved is not None
    write_split(first.unsaved, file)
    again = assign(content(*reversed(PLAIN)), DEFAULT, DEFAULT, file)
    assert again.unsaved is None
    assert again.split_of == first.split_of
    assert again.warnings == ()


def test_groups_stay_together(tmp_path):
    split_of = assign(content(*PLAIN), GROUPED, DEFAULT, tmp_path / "s.json").split_of
    for i in range(8):
        assert len({split for path, split in split_of.items() if f"obj{i}_" in path}) == 1
    assert set(split_of.values()) == {"train", "validation", "test"}


def test_a_pattern_without_parentheses_groups_by_its_whole_match(tmp_path):
    settings = SplitSettings(0.15, 0.2, 0, r"obj\d+_")
    grouped = assign(content(*PLAIN), GROUPED, DEFAULT, tmp_path / "s.json").split_of
    assert assign(content(*PLAIN), settings, DEFAULT, tmp_path / "s.json").split_of == grouped


def test_a_pattern_that_misses_a_file_names_it(tmp_path):
    with pytest.raises(UserError, match=r"matches nothing in 'b/x\.png'"):
        assign(content(*PLAIN, "b/x.png"), GROUPED, DEFAULT, tmp_path / "s.json")


def test_a_group_that_its_owner_tore_apart_is_refused(tmp_path):
    torn = content("train/a/obj1_1.png", "val/a/obj2_1.png", "test/a/obj1_2.png", splits=True)
    with pytest.raises(UserError, match="group 'obj1' has images in train and in test"):
        assign(torn, GROUPED, DEFAULT, tmp_path / "s.json")


def test_new_and_vanished_files_are_named_and_the_rest_stays(tmp_path):
    file = tmp_path / "s.json"
    first = assign(content(*PLAIN), DEFAULT, DEFAULT, file)
    write_split(first.unsaved, file)
    later = assign(content(*PLAIN[1:], "c/new.png"), DEFAULT, DEFAULT, file)
    assert later.split_of == {path: first.split_of[path] for path in PLAIN[1:]}
    assert later.classes == ("a", "b")
    assert [w for w in later.warnings if "new" in w and "c/new.png" in w]
    assert [w for w in later.warnings if "vanished" in w and PLAIN[0] in w]


def test_a_saved_split_of_another_folder_is_refused(tmp_path):
    file = tmp_path / "s.json"
    write_split(assign(content(*PLAIN), DEFAULT, DEFAULT, file).unsaved, file)
    with pytest.raises(UserError, match="none of the images"):
        assign(content("x/1.png", "y/1.png"), DEFAULT, DEFAULT, file)


def test_an_owners_whole_split_needs_no_file(tmp_path):
    found = assign(content("train/a/1.png", "val/a/2.png", "test/a/3.png", splits=True), DEFAULT, DEFAULT, tmp_path)
    assert found.unsaved is None
    assert list(found.split_of.values()) == ["train", "validation", "test"]


def test_only_what_the_owner_left_out_is_taken_from_train(tmp_path):
    paths = [f"train/a/{i}.png" for i in range(20)] + [f"test/a/{i}.png" for i in range(5)]
    found = assign(content(*paths, splits=True), DEFAULT, DEFAULT, tmp_path / "s.json")
    counts = {s: list(found.split_of.values()).count(s) for s in ("train", "validation", "test")}
    assert counts == {"train": 17, "validation": 3, "test": 5}
    assert all(found.split_of[p] == "test" for p in paths if p.startswith("test/"))
    write_split(found.unsaved, tmp_path / "s.json")
    assert assign(content(*paths, splits=True), DEFAULT, DEFAULT, tmp_path / "s.json").split_of == found.split_of


def test_a_class_that_is_not_in_train_is_refused(tmp_path):
    with pytest.raises(UserError, match="class 'b' has images in test"):
        assign(content("train/a/1.png", "val/a/2.png", "test/b/3.png", splits=True), DEFAULT, DEFAULT, tmp_path)
