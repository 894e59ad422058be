import pytest
import torch

from robustpeft.errors import UserError
from robustpeft.study.targets.normalizations import NORMALIZATIONS, as_normalization, named


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_name_is_its_own_text_and_numbers_find_the_name_again(name):
    value = NORMALIZATIONS[name]
    numbers = "/".join(",".join(map(str, part)) for part in (value.mean, value.std))
    assert value.text == name == as_normalization(name).text == as_normalization(numbers).text


def test_numbers_without_a_name_are_said_as_they_are_read():
    value = as_normalization("0.1,0.2,0.3/0.4")
    assert value.std == (0.4, 0.4, 0.4)
    assert as_normalization(value.text) == value
    image = torch.ones(1, 3, 1, 1)
    assert torch.allclose(value.module()(image).flatten(), torch.tensor([2.25, 2.0, 1.75]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("halff", "did you mean 'half'"),
        ("0.5,0.5,0.5,0.5/0.5", "3 means"),
        ("0.5/0", "3 positive deviations"),
        ("123.7,116.3,103.5/58.4,57.1,57.4", "divide by 255"),
        ("0.5,x,0.5/1", "is not mean/std"),
        ("0.5", "is not mean/std"),
        ("0.5/nan", "3 positive deviations"),
    ],
)
def test_what_is_none_is_refused(text, said):
    with pytest.raises(UserError, match=said):
        as_normalization(text)


def test_one_number_stands_for_all_channels():
    assert named([0.5], [0.5]) == NORMALIZATIONS["half"]
