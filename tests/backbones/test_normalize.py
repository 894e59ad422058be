import math

import pytest
import torch

from robustpeft.backbones import Normalize
from robustpeft.types import UserError


def test_each_channel_is_shifted_and_scaled_by_its_own_values():
    normalize = Normalize((0.1, 0.2, 0.3), [0.5, 1.0, 2.0])
    images = torch.rand(2, 3, 4, 4)
    found = normalize(images)
    for channel, (mean, std) in enumerate([(0.1, 0.5), (0.2, 1.0), (0.3, 2.0)]):
        torch.testing.assert_close(found[:, channel], (images[:, channel] - mean) / std)


def test_the_values_are_shown_and_are_not_part_of_the_weights():
    normalize = Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert repr(normalize) == "Normalize(mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25])"
    assert normalize.state_dict() == {}
    assert list(normalize.parameters()) == []


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4), r"pixel units on \[0, 1\].*divide by 255"),
        ((0.5, 0.5, 0.5), (58.4, 57.1, 57.4), "divide by 255"),
        ((123.7, 116.3, 103.5), (0.2, 0.2, 0.2), "divide by 255"),
        ((0.5,), (0.5,), "3 means and 3 positive deviations"),
        ((0.5, 0.5, 0.5), (0.5, 0.5), "3 means and 3 positive deviations"),
        ((0.5, 0.5, 0.5), (0.5, 0.0, 0.5), "3 means and 3 positive deviations"),
        ((0.5, 0.5, 0.5), (0.5, -0.5, 0.5), "3 means and 3 positive deviations"),
        ((0.5, math.nan, 0.5), (0.5, 0.5, 0.5), "3 means and 3 positive deviations"),
        ((0.5, 0.5, 0.5), (0.5, 0.5, math.inf), "3 means and 3 positive deviations"),
        (0.5, 0.5, "3 means and 3 positive deviations; got 0.5, 0.5"),
    ],
)
def test_other_units_and_other_counts_are_refused(mean, std, message):
    with pytest.raises(UserError, match=message):
        Normalize(mean, std)
