import pytest
import torch

from robustpeft.data import ImageData, Split, cropped
from robustpeft.data.image_store import InMemory
from robustpeft.errors import UserError


@pytest.fixture
def data():
    pixels = torch.arange(2 * 3 * 6 * 8, dtype=torch.uint8).reshape(2, 3, 6, 8)
    split = Split(InMemory(pixels, ("a", "b")), torch.arange(2), torch.tensor([0, 1]), torch.tensor([7, 9]))
    nothing = split.subset(torch.zeros(0, dtype=torch.int64))
    return ImageData("toy", ("x", "y"), nothing, nothing, split)


def test_the_centre_is_left_and_everything_else_stays(data):
    small = cropped(data, (4, 4))
    assert small.image_size == (4, 4)
    assert torch.equal(small.test[1], data.test[1][:, 1:5, 2:6])
    assert (small.test.digest, small.test.name(1)) == (data.test.digest, "b")
    assert next(small.test.batches(2)).images.shape == (2, 3, 4, 4)
    assert "central 4x4" in small.preprocessing


def test_more_than_there_is_cannot_be_cut_out(data):
    with pytest.raises(UserError, match="cannot be cut out"):
        cropped(data, (7, 4))
