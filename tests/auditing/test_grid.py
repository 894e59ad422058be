import pytest
import torch
from hypothesis import given, settings, strategies as st

from robustpeft.auditing import default_perturbations
from robustpeft.perturbations import PERTURBATIONS, GaussianNoise, PatchDrop, PatchShuffle, PixelDrop


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 48), st.integers(1, 48))
def test_every_default_fits_images_of_its_size(height, width):
    images = torch.full((1, 3, height, width), 0.5)
    for perturbation in default_perturbations((height, width)):
        assert perturbation(images).shape == images.shape


def test_all_four_kinds_come_at_several_strengths_without_repetition():
    grid = default_perturbations((32, 32))
    kinds = {GaussianNoise, PatchDrop, PatchShuffle, PixelDrop}  # those of the first paper; others are asked for
    assert {type(p) for p in grid} == kinds < set(PERTURBATIONS.values())
    assert all(sum(type(p) is kind for p in grid) > 1 for kind in kinds)
    assert len(set(grid)) == len(grid)


def test_patches_are_those_of_vits_for_such_images():
    sizes = {side: _patch_sizes(default_perturbations((side, side))) for side in (16, 32, 224, 384)}
    assert sizes == {16: {4}, 32: {4}, 224: {16}, 384: {16}}
    assert _patch_sizes(default_perturbations((224, 224), patch_size=14)) == {14}


def test_large_images_get_the_grids_of_the_source():
    grids = [p.grid for p in default_perturbations((224, 224)) if isinstance(p, PatchShuffle)]
    assert grids == [2, 4, 8, 14]


@pytest.mark.parametrize("side", [2, 4, 6, 16, 22, 33])
def test_shuffled_patches_have_at_least_two_pixels_a_side(side):
    assert all(side // p.grid >= 2 for p in default_perturbations((side, side)) if isinstance(p, PatchShuffle))


def test_an_image_that_no_square_tiles_gets_only_what_needs_no_patches():
    kinds = {type(p).__name__ for p in default_perturbations((31, 32))}
    assert kinds == {"PixelDrop", "GaussianNoise"}


def _patch_sizes(grid):
    return {p.patch_size for p in grid if isinstance(p, PatchDrop)}
