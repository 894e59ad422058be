import pytest
import torch

from robustpeft.perturbations import PatchDrop
from robustpeft.types import UserError

IMAGES = 0.5 + 0.5 * torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))  # nowhere 0


def test_three_of_ten_patches_are_black_and_the_rest_is_as_it_was():
    result = PatchDrop(0.3, patch_size=8)(IMAGES)
    patches = result.unfold(2, 8, 8).unfold(3, 8, 8)
    assert (patches == 0).all(-1).all(-1).all(1).flatten(1).sum(1).tolist() == [round(0.3 * 16)] * 4
    kept = result != 0
    assert torch.equal(result[kept], IMAGES[kept])


def test_the_default_patches_are_those_of_a_vit_with_16_pixels():
    result = PatchDrop(0.5)(IMAGES)
    assert ((result == 0)[:, 0, ::16, ::16].flatten(1).sum(1) == 2).all()


def test_images_lose_different_patches_unless_per_batch():
    own = PatchDrop(0.5, patch_size=4)(IMAGES) == 0
    shared = PatchDrop(0.5, patch_size=4, per_batch=True)(IMAGES) == 0
    assert len({tuple(row) for row in own.flatten(1).tolist()}) == 4
    assert len({tuple(row) for row in shared.flatten(1).tolist()}) == 1


def test_the_fill_can_be_a_colour():
    result = PatchDrop(1.0, fill=(0.485, 0.456, 0.406))(IMAGES)
    assert torch.equal(result, torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1).expand_as(IMAGES))


def test_a_patch_size_that_does_not_fit_is_refused_with_the_sizes():
    with pytest.raises(UserError, match="got 5 for 32 x 32"):
        PatchDrop(0.3, patch_size=5)(IMAGES)
    with pytest.raises(UserError, match="at least 1 pixel; got 0"):
        PatchDrop(0.3, patch_size=0)


def test_fields_are_checked_when_the_value_is_made():
    with pytest.raises(UserError, match=r"did you mean 0\.5"):
        PatchDrop(50)
    with pytest.raises(UserError, match="fill"):
        PatchDrop(0.5, fill=-1.0)
