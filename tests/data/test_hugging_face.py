import sys
from types import SimpleNamespace

import pytest
from PIL import Image

from robustpeft.data import HuggingFace, load_data
from robustpeft.errors import UserError


class Image_:  # noqa: N801 - stands for datasets.Image
    pass


Image_.__name__ = "Image"


class ClassLabel:
    def __init__(self, names):
        self.names = names


class Published:
    """One split as the `datasets` package shows it."""

    def __init__(self, make_picture, n, first, features=None):
        self.features = features or {"img": Image_(), "fine": ClassLabel(["x", "y"]), "id": object()}
        self.images: list[Image.Image] = [make_picture(first + i) for i in range(n)]
        self.labels = [i % 2 for i in range(n)]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, key):
        return self.labels if isinstance(key, str) else {"img": self.images[key], "fine": self.labels[key]}


@pytest.fixture
def hub(monkeypatch):
    sets = {}

    def load_dataset(name, config, revision):
        if name not in sets:
            raise FileNotFoundError(f"no {name} on the hub")
        return sets[name]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    return sets


def test_columns_are_found_by_their_type(hub, make_picture):
    hub["user/set"] = {"train": Published(make_picture, 20, 0), "test": Published(make_picture, 6, 100)}
    data = load_data("hf/user/set")
    assert data.classes == ("x", "y")
    assert data.name == "user/set"
    assert len(data.train) + len(data.validation) == 20
    assert data.test[2].permute(1, 2, 0).numpy().tobytes() == make_picture(102).tobytes()
    assert data.test.labels.tolist() == [0, 1] * 3


def test_a_lone_published_validation_split_is_the_test_split(hub, make_picture):
    hub["s"] = {"train": Published(make_picture, 20, 0), "validation": Published(make_picture, 6, 100)}
    data = load_data("hf/s")
    assert len(data.test) == 6
    assert "published validation split" in data.note


def test_columns_can_be_named(hub, make_picture):
    features = {"img": object(), "fine": object()}
    hub["s"] = {"train": Published(make_picture, 20, 0, features)}
    with pytest.raises(UserError, match=r"has the columns img, fine, but not both"):
        load_data("hf/s")
    assert HuggingFace("s", columns=("img", "fine")).load().classes == ("0", "1")
    with pytest.raises(UserError, match="no column 'image'; did you mean 'img'"):
        HuggingFace("s", columns=("image", "fine")).load()


def test_a_set_that_cannot_be_had_is_a_readable_error(hub):
    with pytest.raises(UserError, match="'nobody/set' cannot be had: no nobody/set on the hub"):
        load_data("hf/nobody/set")
    hub["s"] = {"extra": None}
    with pytest.raises(UserError, match="has the splits extra"):
        load_data("hf/s")


def test_without_the_package_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install 'robustpeft\[datasets\]'"):
        load_data("hf/user/set")
