import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, Subset, TensorDataset

from robustpeft.data import Tensors, load_data
from robustpeft.errors import UserError

GENERATOR = torch.Generator().manual_seed(0)
BYTES = torch.randint(0, 256, (30, 3, 6, 6), generator=GENERATOR, dtype=torch.uint8)
LABELS = torch.arange(30) % 3


class Listed(Dataset):
    def __init__(self, items, **attributes):
        self.items = items
        self.reads = 0
        vars(self).update(attributes)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.reads += 1
        return self.items[index]


def test_a_dataset_becomes_three_splits():
    data = load_data(TensorDataset(BYTES, LABELS))
    assert [len(s) for s in data.splits.values()] == [18, 6, 6]
    assert data.classes == ("0", "1", "2")
    for split in data.splits.values():
        for i in range(len(split)):
            assert torch.equal(split[i], BYTES[int(split.rows[i])])


def test_datasets_by_name_stay_what_they_are():
    whole = TensorDataset(BYTES, LABELS)
    data = load_data({"train": Subset(whole, range(20)), "test": Subset(whole, range(20, 30))})
    assert len(data.test) == 10
    assert torch.equal(data.test[0], BYTES[20])
    assert [len(s) for s in load_data({"test": whole}).splits.values()] == [0, 0, 30]


def test_an_id_is_the_same_whatever_else_is_given():
    whole = TensorDataset(BYTES, LABELS)
    with_train = load_data({"train": TensorDataset(255 - BYTES, LABELS), "test": whole})
    assert torch.equal(load_data({"test": whole}).test.ids, with_train.test.ids)
    assert not set(with_train.train.ids.tolist()) & set(with_train.test.ids.tolist())


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x,
        lambda x: x.float() / 255,
        lambda x: x.double() / 255,
        lambda x: x.permute(1, 2, 0).numpy(),
        lambda x: Image.fromarray(x.permute(1, 2, 0).contiguous().numpy()),
    ],
)
def test_every_kind_of_image_gives_the_same_pixels(convert):
    items = [(convert(x), int(y)) for x, y in zip(BYTES, LABELS, strict=True)]
    data = load_data({"test": Listed(items)})
    assert torch.equal(data.test.store.read(data.test.rows), BYTES)


def test_grey_images_get_three_equal_channels():
    for grey in (BYTES[:, :1], BYTES[:, 0], BYTES[:, 0].numpy()[..., None]):
        data = load_data({"test": Listed(list(zip(grey, LABELS, strict=True)))})
        assert torch.equal(data.test[4], BYTES[4, :1].expand(3, -1, -1))


def test_labels_that_a_dataset_shows_save_a_second_reading():
    items = list(zip(BYTES, LABELS, strict=True))
    shown, hidden = Listed(items, targets=LABELS), Listed(items)
    changed = Listed(items, targets=LABELS, target_transform=lambda y: y)
    for dataset in (shown, hidden, changed):
        assert torch.equal(load_data({"test": dataset}, image_size=6).test.labels, LABELS)
    assert (shown.reads, hidden.reads, changed.reads) == (30, 60, 60)


def test_a_dataset_brings_its_class_names():
    items = list(zip(BYTES, LABELS, strict=True))
    assert load_data(Listed(items, classes=["a", "b", "c"])).classes == ("a", "b", "c")
    assert load_data(Listed(items, classes=[("a", "A"), ("b",), ("c",)])).classes == ("a, A", "b", "c")
    with pytest.raises(UserError, match="class names"):
        Tensors(Listed(items), classes=("a", "b")).load()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ((BYTES[0].float() * 2, 0), r"test image 0: floating-point images must lie in \[0, 1\]"),
        ((BYTES[0].float() / 255 - 0.5, 0), "normalisation belongs into the model"),
        ((torch.full((3, 2, 2), float("nan")), 0), "must lie in"),
        ((BYTES[0].int(), 0), "pixels of type int32"),
        ((BYTES[0].repeat(2, 1, 1), 0), "expected 3 or 1 channels"),
        ((BYTES[0], "cat"), "its label must be a class number; got str"),
        ((BYTES[0], torch.tensor([0.0, 1.0])), "its label must be a class number"),
        ((BYTES[0], -1), "labels must be in"),
        (BYTES[0], r"expected \(image, class number\); got Tensor"),
    ],
)
def test_items_that_cannot_be_used_are_refused(item, message):
    with pytest.raises(UserError, match=message):
        load_data({"test": Listed([item])})


def test_other_things_are_refused():
    with pytest.raises(UserError, match="map-style torch Dataset"):
        Tensors(train=iter([1])).load()
    with pytest.raises(UserError, match="is empty"):
        Tensors(train=[]).load()


def test_copies_across_splits_are_warned_of():
    repeated = TensorDataset(BYTES, LABELS)
    assert any("exact copies" in w for w in load_data({"train": repeated, "test": repeated}).warnings)


def test_arrays_may_be_read_only():
    array = np.zeros((4, 4, 3), np.uint8)
    array.setflags(write=False)
    assert load_data({"test": Listed([(array, 0)])}).image_size == (4, 4)
