import pytest
import torch

from robustpeft.auditing.specimens.table import SPOILED


@pytest.mark.parametrize(("name", "change"), [("normalised", lambda x: 2 * x - 1), ("bytes", lambda x: x * 255)])
def test_some_spoiled_images_are_in_another_range(images, name, change):
    assert torch.allclose(SPOILED[name].spoil(images), change(images), atol=1e-4)


@pytest.mark.parametrize(("name", "least"), [("jpeg", 0.01), ("truncation", 0.5 / 255), ("resized", 0.01)])
def test_others_stay_in_the_box_and_are_not_what_was_found(images, name, least):
    found = (images + 0.9 / 255).clamp(0, 1)
    kept = SPOILED[name].spoil(found)
    assert kept.shape == found.shape
    assert kept.dtype == found.dtype
    assert kept.min() >= 0
    assert kept.max() <= 1
    assert (kept - found).abs().max() > least
