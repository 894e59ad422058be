import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from robustpeft.data import Split, find_duplicates
from robustpeft.data.duplicates import duplicate_warnings
from robustpeft.data.image_store import InMemory, OnDemand


def make_split(images: list[Image.Image], word: str) -> Split:
    pixels = torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in images])
    n = len(images)
    names = [f"{word}{i}" for i in range(n)]
    return Split(InMemory(pixels, names), torch.arange(n), torch.zeros(n, dtype=torch.int64), torch.arange(n))


def as_jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return Image.open(buffer).convert("RGB")


def splits(make_picture: Callable[..., Image.Image]) -> dict[str, Split]:
    train = [make_picture(i, 48, 48) for i in range(40)]
    validation = [make_picture(i, 48, 48) for i in range(100, 120)]
    test = [make_picture(i, 48, 48) for i in range(200, 220)]
    test[3], test[5] = train[7], as_jpeg(train[9])
    test[8] = validation[2]
    return {name: make_split(i, name) for name, i in (("train", train), ("validation", validation), ("test", test))}


def test_exact_and_near_copies_are_found_and_named_and_nothing_else(make_picture):
    found = {(d.name, d.copy_name, d.exact) for d in find_duplicates(splits(make_picture))}
    assert found == {("train7", "test3", True), ("train9", "test5", False), ("validation2", "test8", True)}


def test_flat_images_of_different_colour_are_not_copies():
    red, blue = Image.new("RGB", (20, 20), "red"), Image.new("RGB", (20, 20), "blue")
    assert not find_duplicates({"train": make_split([red], "a"), "test": make_split([blue], "b")})


def test_copies_within_one_split_are_not_reported(make_picture):
    same = [make_picture(1), make_picture(1)]
    assert not find_duplicates({"train": make_split(same, "a"), "test": make_split([make_picture(2)], "b")})


def test_warnings_name_and_count(make_picture):
    warnings = duplicate_warnings(splits(make_picture))
    assert "1 exact copy across train and test: train7 and test3" in warnings
    assert "1 near copy across train and test: train9 and test5" in warnings
    assert "1 exact copy across validation and test: validation2 and test8" in warnings


def test_a_set_that_was_not_searched_says_so():
    store = OnDemand(lambda row: torch.zeros(3, 1, 1, dtype=torch.uint8), ["a"], (1, 1), threads=1)
    split = Split(store, torch.arange(1), torch.zeros(1, dtype=torch.int64), torch.arange(1))
    assert "not searched" in duplicate_warnings({"train": split})[0]
