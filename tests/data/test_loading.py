import pytest
import torch
from torch.utils.data import TensorDataset

from robustpeft.data import (
    DATASETS,
    DataSource,
    Digits,
    Folder,
    HuggingFace,
    Parquet,
    Tensors,
    Torchvision,
    Vtab,
    as_source,
    load_data,
)
from robustpeft.data.identity import ids_of_names
from robustpeft.errors import UserError


@pytest.mark.parametrize(
    ("words", "source"),
    [
        ("digits", Digits()),
        ("torch/cifar100", Torchvision("cifar100")),
        ("hf/user/name", HuggingFace("user/name")),
        ("data/train-*.parquet", Parquet("data/train-*.parquet")),
        (["a.parquet", "b.parquet"], Parquet(("a.parquet", "b.parquet"))),
        ("robustpeft.data.digits:Digits", Digits()),
    ],
)
def test_words_stand_for_values(words, source):
    assert as_source(words) == source


def test_a_seed_goes_into_the_source(tmp_path):
    assert as_source(tmp_path, seed=3) == Folder(str(tmp_path), seed=3)
    assert as_source("torch/svhn", seed=3) == Torchvision("svhn", seed=3)
    dataset = TensorDataset(torch.zeros(1), torch.zeros(1))
    assert as_source(dataset, seed=3) == Tensors(dataset, seed=3)
    assert as_source({"test": dataset}, seed=3) == Tensors(test=dataset, seed=3)


def test_a_seed_that_would_be_ignored_is_refused():
    with pytest.raises(UserError, match="fixed"):
        as_source("digits", seed=1)
    with pytest.raises(UserError, match="give the seed of the split to the source"):
        as_source(Folder("x"), seed=1)


def test_values_are_sources_and_can_be_hashed():
    values = [Digits(), Folder("x"), Parquet("x"), Torchvision("x"), HuggingFace("x"), Tensors(), Vtab("dtd", "x")]
    assert len({hash(v) for v in values}) == len(values)
    assert {type(v) for v in values} == set(DATASETS.values())
    assert all(isinstance(v, DataSource) and as_source(v) is v for v in values)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digit", "did you mean 'digits'"),
        ("no/such/place", "no data 'no/such/place'"),
        (7, "got int"),
        ([], "got list"),
        ({}, "by the names train, validation, test"),
        ({"dev": None}, r"got \['dev'\]"),
        ("nowhere.module:Class", "cannot import"),
        ("robustpeft.data.digits:Digit", "did you mean 'Digits'"),
        ("robustpeft.data:Folder", "needs arguments"),
        ("builtins:dict", "no load"),
        (Digits, "got ABCMeta"),
    ],
)
def test_other_things_are_refused(spec, message):
    with pytest.raises(UserError, match=message):
        load_data(spec)


def test_a_file_that_is_neither_is_refused(tmp_path):
    file = tmp_path / "a.zip"
    file.write_text("")
    with pytest.raises(UserError, match="neither a folder of images nor a Parquet file"):
        load_data(file)


def test_data_that_is_loaded_already_is_kept_if_its_size_fits():
    data = load_data("digits", image_size=8)
    assert load_data(data, image_size=(8, 8)) is data
    assert load_data(data) is data
    with pytest.raises(UserError, match="loaded at 8x8 pixels, but image_size=16"):
        load_data(data, image_size=16)


def test_a_source_of_ones_own_must_return_image_data():
    class Wrong(DataSource):
        def load(self, image_size=None):
            return ids_of_names(["a"])

    with pytest.raises(UserError, match="must return ImageData"):
        load_data(Wrong())
