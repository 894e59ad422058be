import pytest

from robustpeft.data.folder_scan import natural_key, scan
from robustpeft.errors import UserError


def test_numbers_sort_as_numbers():
    assert sorted(["b", "A10", "a2", "a1", "10", "9"], key=natural_key) == ["9", "10", "a1", "a2", "A10", "b"]
    assert sorted(["x01", "x1", "X1"], key=natural_key) == sorted(["X1", "x01", "x1"], key=natural_key)


def test_class_folders_are_found_with_all_below_them(make_folder):
    content = scan(make_folder({"class10": 1, "class2": 2, "class2/more": 1}))
    assert content.classes == ("class2", "class10")
    assert [i.path for i in content.images] == ["class2/0.png", "class2/1.png", "class2/more/0.png", "class10/0.png"]
    assert content.split_names == frozenset()


def test_an_owners_split_is_recognised_by_its_names(make_folder):
    content = scan(make_folder({"Train/a": 1, "val/a": 1, "test/b": 1}))
    assert [(i.split, i.class_name) for i in content.images] == [("train", "a"), ("validation", "a"), ("test", "b")]


def test_classes_that_are_called_train_and_car_are_classes(make_folder):
    assert scan(make_folder({"train": 1, "car": 1})).classes == ("car", "train")
    assert scan(make_folder({"train": 1, "test": 1}, "b")).classes == ("test", "train")


def test_hidden_files_are_passed_over_and_strangers_are_named(make_folder):
    root = make_folder({"a": 1, ".git/x": 1})
    (root / "a" / ".DS_Store").write_text("")
    (root / "a" / "notes.txt").write_text("")
    content = scan(root)
    assert content.classes == ("a",)
    assert content.strangers == ("a/notes.txt",)


def test_a_folder_without_class_folders_is_refused(tmp_path):
    loose = tmp_path / "loose"
    loose.mkdir()
    with pytest.raises(UserError, match="has no images; expected"):
        scan(loose)
    (loose / "a.png").write_bytes(b"")
    with pytest.raises(UserError, match="1 images but no class folders"):
        scan(loose)
    with pytest.raises(UserError, match="is not a folder"):
        scan(tmp_path / "nowhere")


def test_class_folders_without_images_are_refused(tmp_path):
    (tmp_path / "cat").mkdir()
    with pytest.raises(UserError, match=r"the folders of .* \(cat\) have no images"):
        scan(tmp_path)


def test_a_folder_of_parquet_files_gets_a_hint(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(UserError, match=r"\*\.parquet"):
        scan(tmp_path)
