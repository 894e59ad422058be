import pytest
import torch
from PIL import Image

from robustpeft.data import reading
from robustpeft.data.decoding import BrokenImageError
from robustpeft.data.reading import listing, read_images
from robustpeft.errors import UserError

NAMES = [f"{i}.png" for i in range(7)]


def decode(row: int) -> Image.Image:
    return Image.new("RGB", (4, 4), (row, 0, 0))


def broken_at(*rows: int):
    def partly(row: int) -> Image.Image:
        if row in rows:
            raise BrokenImageError("torn")
        return decode(row)

    return partly


@pytest.fixture
def no_room(monkeypatch):
    monkeypatch.setattr(reading, "IN_MEMORY_BYTES", 10)


@pytest.mark.parametrize("block", [1, 3, 256])
def test_a_small_set_is_decoded_into_memory(monkeypatch, block):
    monkeypatch.setattr(reading, "_BLOCK", block)
    result = read_images(decode, NAMES, (4, 4))
    assert result.store.in_memory
    assert result.store.read(torch.arange(7))[:, 0, 0, 0].tolist() == list(range(7))


def test_a_large_set_is_decoded_on_demand_to_the_same_pixels(no_room):
    result = read_images(decode, NAMES, (2, 2))
    assert not result.store.in_memory
    assert result.store.read(torch.tensor([5, 2]))[:, 0].flatten(1).tolist() == [[5] * 4, [2] * 4]


def test_broken_images_are_named_and_counted():
    with pytest.raises(UserError, match=r"2 of 7 images cannot be read: 1\.png \(torn\), 4\.png \(torn\)"):
        read_images(broken_at(1, 4), NAMES, (4, 4))


def test_broken_images_can_be_left_out():
    result = read_images(broken_at(0, 4), NAMES, None, skip_broken=True)
    assert result.rows.tolist() == [1, 2, 3, 5, 6]
    assert [b.name for b in result.broken] == ["0.png", "4.png"]
    assert "2 of 7" in result.warnings[0]


def test_broken_images_of_a_large_set_are_found_before_if_they_are_to_be_left_out(no_room):
    assert read_images(broken_at(2), NAMES, (4, 4), skip_broken=True).rows.tolist() == [0, 1, 3, 4, 5, 6]


def test_a_broken_image_of_a_large_set_is_named_when_it_is_met(no_room):
    result = read_images(broken_at(2), NAMES, (4, 4))
    with pytest.raises(UserError, match=r"2\.png \(torn\)"):
        result.store.read(torch.arange(4))


@pytest.mark.parametrize("size", [None, (4, 4)])
def test_if_all_are_broken_leaving_out_does_not_help(size):
    with pytest.raises(UserError, match="7 of 7"):
        read_images(broken_at(*range(7)), NAMES, size, skip_broken=True)


def test_images_of_different_size_need_an_image_size():
    def uneven(row: int) -> Image.Image:
        return Image.new("RGB", (4, 4 + row // 6))

    with pytest.raises(UserError, match=r"6\.png has 5x4 pixels, others 4x4; give image_size"):
        read_images(uneven, NAMES, None)
    assert read_images(uneven, NAMES, (3, 3)).store.size == (3, 3)


def test_a_listing_says_how_many_more_there_are():
    assert listing("abc") == "a, b, c"
    assert listing("abcdefg", most=2) == "a, b and 5 more"
