import pytest
import torch

from robustpeft.errors import UserError
from robustpeft.study import find_device


def test_auto_finds_something_and_names_are_taken():
    assert find_device("cpu") == torch.device("cpu")
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert find_device("auto").type == expected


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "xla"])
def test_a_device_that_is_not_here_is_refused(name):
    with pytest.raises(UserError, match=f"no device '{name}' here"):
        find_device(name)
