import pytest
import torch
from hypothesis import given, settings, strategies as st

from robustpeft.perturbations.cells import check_drop, drop_cells
from robustpeft.types import Noise, UserError

IMAGES = 0.5 + 0.5 * torch.rand(3, 3, 8, 12, generator=torch.Generator().manual_seed(0))  # nowhere 0


def noise(batch=3, seed=0):
    return Noise(seed, torch.arange(batch), "test")


@settings(deadline=None)
@given(ratio=st.floats(0, 1), cell=st.sampled_from([1, 2, 4]), seed=st.integers(0, 2**31))
def test_exactly_the_rounded_number_of_cells_is_dropped(ratio, cell, seed):
    result = drop_cells(IMAGES, noise(seed=seed), cell=cell, ratio=ratio, fill=0.0)
    dropped = result == 0
    cells = (8 // cell) * (12 // cell)
    assert dropped.flatten(1).sum(1).tolist() == [3 * cell * cell * round(ratio * cells)] * 3
    per_cell = dropped.unfold(2, cell, cell).unfold(3, cell, cell).float().mean((1, 4, 5))
    assert set(per_cell.unique().tolist()) <= {0.0, 1.0}  # whole cells, all channels
    assert torch.equal(result[~dropped], IMAGES[~dropped])


@settings(deadline=None)
@given(ratios=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted), seed=st.integers(0, 2**31))
def test_what_is_dropped_at_one_ratio_is_dropped_at_every_larger_one(ratios, seed):
    small, large = (drop_cells(IMAGES, noise(seed=seed), cell=2, ratio=r, fill=0.0) == 0 for r in ratios)
    assert not (small & ~large).any()


def test_every_cell_is_dropped_equally_often():
    images = torch.ones(4000, 3, 4, 4)
    share = (drop_cells(images, noise(4000), cell=2, ratio=0.25, fill=0.0) == 0)[:, 0, ::2, ::2].double().mean(0)
    assert torch.allclose(share, torch.full((2, 2), 0.25, dtype=torch.float64), atol=4 * (0.25 * 0.75 / 4000) ** 0.5)


def test_a_full_drop_shows_only_the_fill():
    assert torch.equal(drop_cells(IMAGES, noise(), cell=4, ratio=1, fill=0.25), torch.full_like(IMAGES, 0.25))
    coloured = drop_cells(IMAGES, noise(), cell=4, ratio=1.0, fill=(0.1, 0.2, 0.3))
    assert torch.equal(coloured, torch.tensor([0.1, 0.2, 0.3]).reshape(1, 3, 1, 1).expand_as(IMAGES))


def test_cells_that_do_not_tile_the_image_are_refused():
    with pytest.raises(UserError, match=r"patch_size must divide .*got 3 for 8 x 12"):
        drop_cells(IMAGES, noise(), cell=3, ratio=0.5, fill=0.0)
    with pytest.raises(UserError, match="got 8 for 8 x 12"):
        drop_cells(IMAGES, noise(), cell=8, ratio=0.5, fill=0.0)


@pytest.mark.parametrize(
    ("ratio", "fill", "message"),
    [
        (30, 0.0, r"share in \[0, 1\]; got 30 \(did you mean 0.3\?\)"),
        (-0.1, 0.0, r"got -0.1$"),
        (1000, 0.0, r"got 1000$"),
        (float("nan"), 0.0, "got nan"),
        (0.3, 127, "fill must be in pixel units.*127"),
        (0.3, (0.1, 0.2, -0.3), "fill must be in pixel units"),
        (0.3, (0.1, 0.2), "tuple of three"),
        (0.3, "mean", "fill must be in pixel units.*mean"),
    ],
)
def test_impossible_ratios_and_fills_are_refused(ratio, fill, message):
    with pytest.raises(UserError, match=message):
        check_drop(ratio, fill)


@pytest.mark.parametrize(("ratio", "fill"), [(0, 0), (1, 1.0), (0.5, (0.0, 0.5, 1))])
def test_the_ends_of_the_ranges_are_accepted(ratio, fill):
    check_drop(ratio, fill)
