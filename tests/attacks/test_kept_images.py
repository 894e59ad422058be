import pytest
import torch

import robustpeft.attacks.kept_images as module
from robustpeft.attacks.kept_images import KeptImages, list_kept_images, read_kept_image, read_kept_images
from robustpeft.errors import UserError


def points(*images):
    return {image: torch.full((3, 2, 2), image / 1000) for image in images}


def read(directory):
    return [(stage, image, float(point[0, 0, 0])) for stage, image, point in read_kept_images(directory)]


def test_an_image_is_on_disk_when_save_returns(tmp_path):
    kept = KeptImages(tmp_path, 0)
    for image in (5, -3):
        kept.save("s", points(image))
        assert ("s", image, pytest.approx(image / 1000)) in read(tmp_path)


def test_files_hold_64_images_or_a_stage_and_every_image_is_in_one(tmp_path):
    kept = KeptImages(tmp_path, 0)
    for stage in ("s", "t"):
        for start in range(0, 150, 3):
            kept.save(stage, points(start, start + 1, start + 2))
    kept.merge()
    found = read(tmp_path)
    assert sorted(found) == [(stage, image, pytest.approx(image / 1000)) for stage in "st" for image in range(150)]
    assert len(list(tmp_path.iterdir())) == 6


def test_a_kill_while_files_are_merged_loses_nothing(tmp_path, monkeypatch):
    kept = KeptImages(tmp_path, 0)
    kept.save("s", points(1))
    kept.save("s", points(2))
    monkeypatch.setattr(type(tmp_path), "unlink", lambda path, missing_ok=False: 1 / 0 if path.exists() else None)
    with pytest.raises(ZeroDivisionError):
        kept.merge()
    monkeypatch.undo()
    assert sorted(set(read(tmp_path))) == [("s", image, pytest.approx(image / 1000)) for image in (1, 2)]


def test_a_second_process_and_a_second_run_write_over_nothing(tmp_path):
    KeptImages(tmp_path, 1).save("s", points(1))
    KeptImages(tmp_path, 1).save("s", points(3))
    KeptImages(tmp_path, 10).save("s", points(10))
    assert sorted(image for _, image, _ in read(tmp_path)) == [1, 3, 10]
    for images in ((20, 21, 22), (23, 24, 25), (26, 27, 28)):
        kept = KeptImages(tmp_path, 1)  # another run, as the one before was killed
        for image in images:
            kept.save("s", points(image))
    assert sorted(image for _, image, _ in read(tmp_path)) == [1, 3, 10, *range(20, 29)]


def test_no_image_is_no_file(tmp_path):
    kept = KeptImages(tmp_path, 0)
    kept.save("s", {})
    kept.merge()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    def save(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", save)
    with pytest.raises(UserError, match=r"cannot be written \(.*No space left.*\); what was found so far stays"):
        KeptImages(tmp_path, 0).save("s", points(1))
    assert list(tmp_path.iterdir()) == []


def test_images_are_listed_without_being_read_and_read_one_by_one(tmp_path):
    kept = KeptImages(tmp_path, 0)
    kept.save("s", points(1, 2))
    listed = {(stage, image): path for stage, image, path in list_kept_images(tmp_path)}
    assert listed.keys() == {("s", 1), ("s", 2)}
    assert torch.equal(read_kept_image(listed["s", 2], 2), points(2)[2])
