import pickle
import urllib.error

import numpy as np
import pytest
import torch
from torchvision import datasets
from torchvision.datasets import CIFAR10, FakeData

from robustpeft.data import Torchvision, load_data
from robustpeft.errors import UserError


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """A CIFAR-10 of 60 + 20 images in the published format, without its checksums."""
    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, n in (("data_batch_1", 60), ("test_batch", 20)):
        content = {"data": rng.integers(0, 256, (n, 3072), dtype=np.uint8), "labels": [i % 10 for i in range(n)]}
        (folder / name).write_bytes(pickle.dumps(content))
    names = [f"class{i}" for i in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", None]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", None]])
    monkeypatch.setattr(CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": None})
    return tmp_path, folder


def test_cifar_keeps_its_test_split_and_gets_a_validation_split(cifar):
    root, folder = cifar
    data = Torchvision("cifar10", root=str(root), download=False).load()
    assert data.name == "CIFAR10"
    assert data.classes == tuple(f"class{i}" for i in range(10))
    assert [len(s) for s in data.splits.values()] == [50, 10, 20]
    assert data.validation.labels.bincount().tolist() == [1] * 10
    with (folder / "test_batch").open("rb") as file:
        stored = pickle.load(file)["data"].reshape(-1, 3, 32, 32)
    assert np.array_equal(data.test.store.read(data.test.rows).numpy(), stored)


def test_the_seed_moves_only_the_validation_split(cifar):
    root, _ = cifar
    one, other = (Torchvision("CIFAR10", str(root), seed=seed).load(image_size=16) for seed in (0, 1))
    assert not torch.equal(one.validation.ids, other.validation.ids)
    assert one.test.digest == other.test.digest
    assert one.image_size == (16, 16)


def test_a_data_set_that_cannot_be_fetched_is_a_readable_error(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"CIFAR10 cannot be read from .*not found"):
        Torchvision("cifar10", str(tmp_path / "new"), download=False).load()

    def unreachable(self):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(CIFAR10, "download", unreachable)
    with pytest.raises(UserError, match="no network"):
        Torchvision("cifar10", str(tmp_path)).load()


def test_an_unknown_name_is_answered_with_the_nearest_one():
    with pytest.raises(UserError, match="did you mean 'cifar10'"):
        load_data("torch/cifar1O")


def split_set(published):
    class WithSplits(FakeData):
        def __init__(self, root, split="train", download=False):
            if split not in published:
                raise ValueError(f"Unknown value {split!r}")
            super().__init__(size=published[split], image_size=(3, 8, 8), num_classes=2, random_offset=len(split))

    return WithSplits


@pytest.mark.parametrize(
    ("published", "sizes", "noted"),
    [
        ({"train": 40, "val": 6, "test": 8}, [40, 6, 8], False),
        ({"trainval": 40, "test": 8}, [34, 6, 8], False),
        ({"train": 40, "val": 6}, [34, 6, 6], True),
    ],
)
def test_published_splits_are_kept_whatever_they_are_called(tmp_path, monkeypatch, published, sizes, noted):
    monkeypatch.setattr(datasets, "SVHN", split_set(published))
    data = Torchvision("svhn", str(tmp_path)).load()
    # Validation taken from train is 15 % of each class, so its size depends on how the classes fall.
    assert all(abs(len(s) - size) <= 1 for s, size in zip(data.splits.values(), sizes, strict=True))
    assert ("test is the published validation split" in data.note) == noted


def test_a_set_without_splits_is_divided_in_three(monkeypatch):
    monkeypatch.setattr(datasets, "SVHN", lambda: FakeData(size=40, image_size=(3, 8, 8), num_classes=2))
    monkeypatch.setattr(datasets.SVHN, "__name__", "SVHN", raising=False)
    data = load_data("torch/svhn")
    assert sum(map(len, data.splits.values())) == 40
    assert all(map(len, data.splits.values()))
