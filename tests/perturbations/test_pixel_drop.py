import pytest
import torch

from robustpeft.perturbations import PatchDrop, PixelDrop
from robustpeft.types import UserError

IMAGES = 0.5 + 0.5 * torch.rand(4, 3, 10, 7, generator=torch.Generator().manual_seed(0))  # nowhere 0


def test_exactly_the_share_of_pixels_is_gone_in_all_channels_at_once():
    gone = PixelDrop(0.3)(IMAGES) == 0
    assert gone[:, 0].flatten(1).sum(1).tolist() == [21] * 4
    assert torch.equal(gone.all(1), gone.any(1))


def test_any_image_size_can_be_cut_into_pixels():
    assert PixelDrop(0.5)(torch.ones(1, 3, 5, 13)).shape == (1, 3, 5, 13)


def test_a_full_drop_is_the_fill_everywhere():
    assert torch.equal(PixelDrop(1.0, fill=0.5)(IMAGES), torch.full_like(IMAGES, 0.5))


def test_pixels_are_chosen_independently_of_the_patches_of_patch_drop():
    assert not torch.equal(PixelDrop(0.5)(IMAGES), PatchDrop(0.5, patch_size=1)(IMAGES))


def test_fields_are_checked_when_the_value_is_made():
    with pytest.raises(UserError, match="ratio must be a share"):
        PixelDrop(1.5)
    with pytest.raises(UserError, match="fill"):
        PixelDrop(0.5, fill=255)
