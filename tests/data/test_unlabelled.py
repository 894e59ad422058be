import pytest
import torch

from robustpeft.data import load_images, reading
from robustpeft.errors import UserError


@pytest.fixture
def folder(tmp_path, make_picture):
    for name in ("10.png", "9.png", "sub/2.png", "sub/1.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make_picture(len(name) + int(path.stem), 10, 14).save(path)
    (tmp_path / "in" / "notes.txt").write_text("")
    return tmp_path / "in"


@pytest.mark.parametrize("room", [10**9, 10])
def test_images_come_in_natural_order_and_broken_ones_are_reported(folder, monkeypatch, room):
    monkeypatch.setattr(reading, "IN_MEMORY_BYTES", room)
    (folder / "9b.png").write_bytes(b"torn")
    images = load_images(folder, image_size=8)
    assert [p.relative_to(folder).as_posix() for p in images.paths] == ["9.png", "10.png", "sub/1.png", "sub/2.png"]
    assert [b.name for b in images.broken] == [str(folder / "9b.png")]
    batches = list(images.batches(3))
    assert [b.shape for b in batches] == [(3, 3, 8, 8), (1, 3, 8, 8)]
    assert len(images) == 4
    alone = next(load_images(folder / "sub" / "2.png", image_size=8).batches(1))
    assert torch.equal(batches[1], alone)
    assert 0 <= float(alone.min()) <= float(alone.max()) <= 1


def test_a_list_keeps_its_order(folder):
    paths = [folder / "sub" / "2.png", str(folder / "10.png")]
    assert [str(p) for p in load_images(paths, image_size=(8, 6)).paths] == list(map(str, paths))


def test_nothing_to_predict_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no images in"):
        load_images(tmp_path, image_size=8)
    with pytest.raises(UserError, match="an empty list"):
        load_images([], image_size=8)
    with pytest.raises(UserError, match="there is nothing at"):
        load_images(tmp_path / "none.png", image_size=8)
    (tmp_path / "a.png").write_bytes(b"torn")
    with pytest.raises(UserError, match="1 of 1 images cannot be read"):
        load_images(tmp_path, image_size=8)


def test_a_batch_size_below_one_is_refused(folder):
    with pytest.raises(UserError, match="batch_size"):
        load_images(folder, image_size=8).batches(0)
