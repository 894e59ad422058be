import itertools

import pytest
import torch
from hypothesis import given, settings, strategies as st

from robustpeft.perturbations import PatchShuffle
from robustpeft.types import UserError


def numbered(batch, height, width):
    """Images whose every value is distinct, so that each pixel can be found again."""
    count = 3 * height * width
    return (torch.arange(count).reshape(1, 3, height, width) / count).repeat(batch, 1, 1, 1)


def patches(images, rows, columns):
    height, width = images.shape[2] // rows, images.shape[3] // columns
    return [
        images[:, :, r * height : (r + 1) * height, c * width : (c + 1) * width]
        for r, c in itertools.product(range(rows), range(columns))
    ]


@settings(deadline=None)
@given(rows=st.sampled_from([1, 2, 3, 6]), columns=st.sampled_from([1, 2, 4, 8]), seed=st.integers(0, 2**31))
def test_every_patch_is_there_once_and_whole(rows, columns, seed):
    images = numbered(1, 6, 8)
    before = patches(images, rows, columns)
    after = patches(PatchShuffle(rows, columns)(images, seed=seed), rows, columns)
    places = [next(i for i, old in enumerate(before) if torch.equal(old, new)) for new in after]
    assert sorted(places) == list(range(rows * columns))


def test_the_pixels_of_an_image_are_the_same_ones_with_their_colours_together():
    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    shuffled = PatchShuffle(4)(images)
    for old, new in zip(images, shuffled, strict=True):
        assert sorted(map(tuple, old.flatten(1).T.tolist())) == sorted(map(tuple, new.flatten(1).T.tolist()))


def test_all_orders_of_the_patches_are_equally_likely():
    images = numbered(2400, 2, 2)
    shuffled = PatchShuffle(2)(images, ids=torch.arange(2400))[:, 0].flatten(1)
    _, counts = shuffled.unique(dim=0, return_counts=True)
    assert len(counts) == 24
    assert ((counts - 100.0) ** 2 / 100.0).sum() < 49.7  # chi-square, 23 degrees of freedom, p = 0.001


def test_one_patch_is_the_whole_image():
    images = numbered(2, 6, 8)
    assert torch.equal(PatchShuffle(1)(images), images)


def test_rows_and_columns_may_differ():
    images = numbered(1, 6, 8)
    rows_only = PatchShuffle(6, 1)(images, seed=1)
    assert not torch.equal(rows_only, images)
    assert {tuple(r) for r in rows_only[0, 0].tolist()} == {tuple(r) for r in images[0, 0].tolist()}


def test_images_are_shuffled_differently_unless_per_batch():
    images = numbered(4, 8, 8)
    ids = torch.arange(4)
    assert len(PatchShuffle(8)(images, ids=ids).unique(dim=0)) == 4
    assert len(PatchShuffle(8, per_batch=True)(images, ids=ids).unique(dim=0)) == 1


def test_a_grid_that_does_not_divide_the_image_is_refused_with_the_sizes():
    with pytest.raises(UserError, match="4 x 4 patches must divide the image; it is 6 x 8"):
        PatchShuffle(4)(numbered(1, 6, 8))
    with pytest.raises(UserError, match="2 x 3 patches"):
        PatchShuffle(2, 3)(numbered(1, 6, 8))


@pytest.mark.parametrize(("grid", "columns"), [(0, None), (-2, None), (2, 0), (2.5, None), (2, -1)])
def test_a_grid_without_patches_is_refused(grid, columns):
    with pytest.raises(UserError, match="whole number of patches, at least 1"):
        PatchShuffle(grid, columns)
