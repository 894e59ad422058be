"""VTAB-1k from files of its layout, made here."""

from pathlib import Path

import pytest
import torch

from robustpeft.data import VTAB_TASKS, Vtab
from robustpeft.errors import UserError

COUNTS = {"train800": 8, "val200": 4, "test": 6}


@pytest.fixture
def pack(tmp_path: Path, make_picture):
    """A task of wide pictures, 8 to tune on, 4 to choose on and 6 to judge on, labels 0 and 1 in turn."""
    folder = tmp_path / "patch_camelyon"
    seed, lines = 0, {}
    for name, count in COUNTS.items():
        images = folder / "images" / ("train800val200" if name != "test" else "test")
        images.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            seed += 1
            path = images / f"{seed:06d} a.png"  # a blank in the name
            make_picture(seed, 8, 24).save(path)
            lines.setdefault(name, []).append(f"{path.relative_to(folder).as_posix()} {i % 2}")
        (folder / f"{name}.txt").write_text("\n".join(lines[name]) + "\n\n")
    (folder / "train800val200.txt").write_text("\n".join(lines["train800"] + lines["val200"]) + "\n")
    return tmp_path


def test_there_are_nineteen_tasks():
    assert len(VTAB_TASKS) == 19


def test_the_three_lists_are_the_three_splits(pack, make_picture):
    data = Vtab("patch_camelyon", str(pack)).load()
    assert [len(split) for split in data.splits.values()] == list(COUNTS.values())
    assert (data.name, data.classes, data.image_size) == ("VTAB-1k patch_camelyon", ("class 0", "class 1"), (8, 24))
    assert data.train.labels.tolist() == [0, 1] * 4
    assert data.validation.name(0) == "images/train800val200/000009 a.png"
    assert data.validation[0].permute(1, 2, 0).numpy().tobytes() == make_picture(9, 8, 24).tobytes()
    assert data.warnings == ()


def test_images_are_squeezed_whole_and_not_cropped(pack):
    whole = Vtab("patch_camelyon", str(pack)).load().train[0].float()
    small = Vtab("patch_camelyon", str(pack)).load(8).train[0].float()
    assert small.shape == (3, 8, 8)
    thirds = torch.stack([part.mean() for part in whole.split(8, dim=2)])
    sides = torch.stack([small[..., :3].mean(), small[..., 3:5].mean(), small[..., 5:].mean()])
    assert torch.allclose(thirds, sides, atol=25)


def test_a_part_of_the_test_images_is_the_same_each_time(pack):
    some = Vtab("patch_camelyon", str(pack), test_images=4)
    first, again = some.load().test, some.load().test
    assert (len(first), first.labels.bincount().tolist(), first.digest) == (4, [2, 2], again.digest)
    every = Vtab("patch_camelyon", str(pack)).load().test
    position = {int(i): row for row, i in enumerate(every.ids)}
    assert all(torch.equal(first[row], every[position[int(i)]]) for row, i in enumerate(first.ids))


def test_other_names_of_a_tasks_folder_are_known(pack):
    (pack / "patch_camelyon").rename(pack / "oxford_iiit_pet")
    assert len(Vtab("pets", str(pack)).load().classes) == 37


def test_what_is_missing_is_named(pack):
    with pytest.raises(UserError, match=r"no VTAB-1k task cifar100 under .*expected a folder cifar100 or cifar or"):
        Vtab("cifar100", str(pack)).load()
    (pack / "patch_camelyon" / "val200.txt").unlink()
    (pack / "patch_camelyon" / "test.txt").unlink()
    with pytest.raises(UserError, match=r"lacks val200.txt, test.txt"):
        Vtab("patch_camelyon", str(pack)).load()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("images/a.png", "line 1: expected a relative path and a label from 0 to 1"),
        ("images/a.png 2", "a label from 0 to 1; got"),
        ("images/a.png -1", "a label from 0 to 1; got"),
        ("../a.png 1", "leads out of the task's folder"),
        ("/etc/a.png 1", "leads out of the task's folder"),
        ("images/gone.png 1", "1 of 1 images cannot be read: images/gone.png"),
        ("", "names no images"),
        ("a.png 1\na.png 0", "names an image twice"),
    ],
)
def test_a_line_that_is_none_is_told_with_its_place(pack, line, said):
    (pack / "patch_camelyon" / "val200.txt").write_text(line)
    with pytest.raises(UserError, match=said):
        Vtab("patch_camelyon", str(pack)).load(8)


def test_an_image_in_two_lists_is_a_warning(pack):
    train = (pack / "patch_camelyon" / "train800.txt").read_text().splitlines()
    with (pack / "patch_camelyon" / "test.txt").open("a") as file:
        file.write(train[0] + "\n")
    assert "also held out: images/train800val200/000001 a.png" in Vtab("patch_camelyon", str(pack)).load().warnings[0]


@pytest.mark.parametrize(("given", "said"), [(("pet", "x"), "did you mean 'pets'"), (("pets", "x", 0), "at least 1")])
def test_a_task_that_is_none_and_no_images_are_refused(given, said):
    with pytest.raises(UserError, match=said):
        Vtab(*given)
