import pytest
import torch

from robustpeft.data import DATASETS, DataSource, Digits, ImageData, Split
from robustpeft.data.image_store import InMemory
from robustpeft.errors import UserError


def make_split(labels: list[int], side: int = 2) -> Split:
    n = len(labels)
    pixels = torch.zeros(n, 3, side, side, dtype=torch.uint8)
    return Split(InMemory(pixels), torch.arange(n), torch.tensor(labels, dtype=torch.int64), torch.arange(n))


def test_labels_without_a_class_name_are_refused():
    with pytest.raises(UserError, match=r"toy, test: labels must be in \[0, 2\); found 0 to 2.*2 class names"):
        ImageData("toy", ("a", "b"), make_split([0, 1]), make_split([]), make_split([0, 2]))


def test_splits_of_different_size_are_refused():
    with pytest.raises(UserError, match="2x2, 3x3"):
        ImageData("toy", ("a",), make_split([0]), make_split([]), make_split([0], side=3))


def test_nothing_is_refused():
    with pytest.raises(UserError, match="toy has no images"):
        ImageData("toy", ("a",), make_split([]), make_split([]), make_split([]))


def test_a_split_may_be_missing_and_the_three_stay_three():
    data = ImageData("toy", ("a",), make_split([]), make_split([]), make_split([0]))
    assert data.image_size == (2, 2)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 0, "validation": 0, "test": 1}


def test_every_entry_of_the_table_is_a_source():
    assert isinstance(Digits(), DataSource)
    assert all(callable(source.load) for source in DATASETS.values())
