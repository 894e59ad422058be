import json
import shutil

import pytest
import torch

from robustpeft.data import Folder, load_data
from robustpeft.errors import UserError


def test_a_folder_becomes_three_stratified_splits(make_folder):
    data = load_data(make_folder({"cat": 20, "dog": 10}))
    assert data.classes == ("cat", "dog")
    assert [s.labels.bincount().tolist() for s in data.splits.values()] == [[13, 6], [3, 2], [4, 2]]
    assert data.image_size == (12, 12)
    assert data.name == "photos"
    assert data.warnings == ()


def test_pixels_labels_and_names_belong_together(make_folder, make_picture):
    root = make_folder({"cat": 5, "dog": 5})
    data = load_data(root)
    for split in data.splits.values():
        for i in range(len(split)):
            folder, file = split.name(i).split("/")
            seed = 1 + int(file.removesuffix(".png")) + 5 * int(folder == "dog")
            assert split[i].permute(1, 2, 0).numpy().tobytes() == make_picture(seed).tobytes()
            assert data.classes[int(split.labels[i])] == folder


def test_the_split_is_made_once_and_moves_with_the_folder(make_folder, tmp_path):
    root = make_folder({"cat": 8, "dog": 8})
    first = load_data(root)
    assert json.loads((root / "robustpeft_split.json").read_text())["classes"] == ["cat", "dog"]
    shutil.move(root, tmp_path / "elsewhere")
    again = load_data(tmp_path / "elsewhere", image_size=6)
    assert {k: s.digest for k, s in again.splits.items()} == {k: s.digest for k, s in first.splits.items()}


def test_another_seed_beside_a_saved_split_is_refused(make_folder):
    root = make_folder({"cat": 8, "dog": 8})
    load_data(root)
    with pytest.raises(UserError, match="seed=1 was asked for"):
        load_data(root, seed=1)


def test_the_split_can_be_saved_elsewhere(make_folder, tmp_path):
    root = make_folder({"cat": 8, "dog": 8})
    Folder(str(root), split_file=str(tmp_path / "mine.json")).load()
    assert (tmp_path / "mine.json").is_file()
    assert not (root / "robustpeft_split.json").exists()


def test_an_owners_split_is_kept_and_nothing_is_written(make_folder):
    root = make_folder({"train/a": 3, "train/b": 2, "val/a": 1, "val/b": 1, "test/a": 2, "test/b": 1})
    data = load_data(root)
    assert {k: len(s) for k, s in data.splits.items()} == {"train": 5, "validation": 2, "test": 3}
    assert {data.test.name(i) for i in range(3)} == {"test/a/0.png", "test/a/1.png", "test/b/0.png"}
    assert not (root / "robustpeft_split.json").exists()


def test_an_order_that_torchvision_does_not_share_is_mentioned(make_folder):
    data = load_data(make_folder({"class2": 4, "class10": 4}))
    assert data.classes == ("class2", "class10")
    assert any("ImageFolder would number them otherwise" in w for w in data.warnings)


def test_a_broken_image_stops_before_a_split_is_saved_or_is_left_out(make_folder):
    root = make_folder({"cat": 8, "dog": 8})
    (root / "cat" / "3.png").write_bytes(b"torn")
    with pytest.raises(UserError, match=r"1 of 16 images cannot be read: cat/3\.png"):
        load_data(root)
    assert not (root / "robustpeft_split.json").exists()
    data = Folder(str(root), skip_broken=True).load()
    assert sum(map(len, data.splits.values())) == 15
    assert any("cat/3.png" in w for w in data.warnings)


def test_copies_across_splits_and_strangers_are_warned_of(make_folder):
    root = make_folder({"train/a": 3, "val/a": 2, "test/a": 2})
    shutil.copy(root / "train" / "a" / "1.png", root / "test" / "a" / "copy.png")
    (root / "test" / "a" / "notes.txt").write_text("")
    warnings = load_data(root).warnings
    assert "1 exact copy across train and test: train/a/1.png and test/a/copy.png" in warnings
    assert any("test/a/notes.txt" in w for w in warnings)


def test_a_class_that_vanished_keeps_its_number(make_folder):
    root = make_folder({"a": 6, "b": 6, "c": 6})
    load_data(root)
    shutil.rmtree(root / "b")
    data = load_data(root)
    assert data.classes == ("a", "b", "c")
    assert set(data.train.labels.tolist()) == {0, 2}
    assert any("no image of class b in train" in w for w in data.warnings)


def test_a_class_with_too_few_images_is_named(make_folder):
    with pytest.raises(UserError, match=r"too few images .* class 'rare'"):
        load_data(make_folder({"often": 8, "rare": 2}))


@pytest.mark.parametrize("bad", [{"validation": 0.9, "test": 0.2}, {"group": "("}])
def test_fields_that_cannot_be_are_refused(bad):
    with pytest.raises(UserError):
        Folder("x", **bad)


def test_ids_do_not_depend_on_what_else_is_there(make_folder):
    small = load_data(make_folder({"cat": 4}, "small"))
    large = load_data(make_folder({"cat": 9, "dog": 9}, "large"))

    def by_name(data):
        return {s.name(i): int(s.ids[i]) for s in data.splits.values() for i in range(len(s))}

    assert by_name(small).items() <= by_name(large).items()
    assert torch.cat([s.ids for s in large.splits.values()]).unique().numel() == 18
