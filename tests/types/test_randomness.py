import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

from robustpeft.types import Noise, content_ids, derive_seed

IDS = torch.arange(2000)


def noise(seed=0, ids=IDS, stream="test", **keys):
    return Noise(seed, ids, stream, **keys)


def chi_square(counts):
    """The chi-square statistic against equal counts, in standard deviations from its mean."""
    expected = counts.double().mean()
    freedom = counts.numel() - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / math.sqrt(2 * freedom))


@pytest.mark.parametrize("seed", [0, 1, 2**62, -5])
def test_uniform_numbers_are_uniform(seed):
    values = noise(seed).uniform((50,))
    assert values.dtype == torch.float32
    assert 0 <= values.min() <= values.max() < 1
    assert abs(chi_square((values * 256).long().flatten().bincount(minlength=256))) < 4


def test_neighbouring_draws_and_neighbouring_ids_are_independent():
    cells = (noise().uniform((50,)) * 16).long()
    along = (cells[:, 1:] * 16 + cells[:, :-1]).flatten().bincount(minlength=256)
    across = (cells[1:] * 16 + cells[:-1]).flatten().bincount(minlength=256)
    assert abs(chi_square(along)) < 4
    assert abs(chi_square(across)) < 4


def test_every_one_of_the_64_bits_is_fair():
    bits = noise().bits((50,)).flatten()
    share = torch.stack([(bits >> i & 1).double().mean() for i in range(64)])
    assert (share - 0.5).abs().max() < 4.5 * 0.5 / math.sqrt(len(bits))


def test_normal_numbers_have_the_moments_and_tails_of_the_normal_distribution():
    values = noise().normal((500,)).double().flatten()
    n = len(values)
    assert torch.isfinite(values).all()
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs((values**power).mean() - moment) < 4 * math.sqrt(variance / n)
    for bound in (1.0, 2.0, 3.0, 4.0):
        tail = math.erfc(bound / math.sqrt(2))
        assert abs((values.abs() > bound).double().mean() - tail) < 4 * math.sqrt(tail / n)


@settings(deadline=None, max_examples=30)
@given(length=st.integers(1, 60), seed=st.integers(-(2**40), 2**62), purpose=st.integers(0, 5))
def test_a_permutation_names_every_place_once(length, seed, purpose):
    order = noise(seed, IDS[:5]).permutation(length, purpose)
    assert torch.equal(order.sort(dim=1).values, torch.arange(length).expand(5, -1))


def test_every_element_is_equally_likely_at_every_place():
    order = noise().permutation(12)
    counts = torch.stack([column.bincount(minlength=12) for column in order.T])
    assert counts.shape == (12, 12)
    freedom = 11**2  # rows and columns both sum to the number of permutations
    expected = len(IDS) / 12
    statistic = float(((counts - expected) ** 2 / expected).sum()) * 11 / 12  # correction for the fixed margins
    assert abs(statistic - freedom) < 4 * math.sqrt(2 * freedom)


@pytest.mark.parametrize("draw", ["bits", "uniform", "normal"])
def test_row_i_depends_on_id_i_and_on_nothing_else_of_the_batch(draw):
    ids = torch.tensor([5, -3, 2**62, 0, 9])
    whole = getattr(noise(ids=ids), draw)((2, 3))
    order = torch.tensor([4, 2, 0, 1, 3])
    assert whole.shape == (5, 2, 3)
    assert torch.equal(getattr(noise(ids=ids[order]), draw)((2, 3)), whole[order])
    assert torch.equal(getattr(noise(ids=ids[1:2]), draw)((2, 3)), whole[1:2])
    assert torch.equal(noise(ids=ids[order]).permutation(7), noise(ids=ids).permutation(7)[order])


def test_narrow_ids_are_as_good_as_wide_ones():
    assert torch.equal(noise(ids=torch.tensor([1, 2], dtype=torch.int32)).bits((3,)), noise(ids=IDS[1:3]).bits((3,)))


def test_every_key_changes_the_draw():
    draws = [
        noise().bits((1,)),
        noise(1).bits((1,)),
        noise(stream="other").bits((1,)),
        noise(restart=1).bits((1,)),
        noise(step=1).bits((1,)),
        noise().bits((1,), purpose=1),
        noise(ids=IDS + 2000).bits((1,)),
    ]
    values = torch.cat(draws).flatten()
    assert len(values.unique()) == len(values)


def test_at_moves_to_another_step_or_restart_and_keeps_the_rest():
    start = noise(3, restart=1, step=2)
    moved = start.at(step=5)
    assert (moved.seed, moved.stream, moved.restart, moved.step) == (3, "test", 1, 5)
    assert (start.at(restart=0).restart, start.at(restart=0).step) == (0, 2)
    assert torch.equal(start.at(step=0).at(step=2).bits((4,)), start.bits((4,)))


def test_the_global_random_state_is_untouched():
    before = torch.get_rng_state()
    noise().normal((2,))
    noise().permutation(3)
    assert torch.equal(before, torch.get_rng_state())


def test_an_empty_batch_has_no_numbers():
    assert noise(ids=IDS[:0]).uniform((2, 3)).shape == (0, 2, 3)
    assert content_ids(torch.zeros(0, 3, 4, 4)).shape == (0,)


@settings(deadline=None)
@given(where=st.integers(0, 3 * 6 * 6 - 1), bit=st.integers(0, 22))
def test_one_changed_pixel_changes_the_id(where, bit):
    images = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.5
    changed = images.clone()
    changed.view(torch.int32).flatten()[where] ^= 1 << bit
    assert content_ids(changed) != content_ids(images)


def test_equal_images_have_equal_ids_whatever_their_batch_or_memory_layout():
    images = torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    ids = content_ids(images)
    assert len(ids.unique()) == 4
    assert torch.equal(content_ids(images.flip(0)), ids.flip(0))
    assert torch.equal(content_ids(images.contiguous(memory_format=torch.channels_last)), ids)
    assert torch.equal(content_ids(images.double()), ids)
    assert torch.equal(content_ids(images.clone().requires_grad_()), ids)


def test_minus_zero_is_zero():
    zeros = torch.zeros(1, 3, 2, 2)
    assert torch.equal(zeros, -zeros)
    assert content_ids(zeros) == content_ids(-zeros)


def test_two_pixels_exchanged_make_another_image():
    images = torch.zeros(1, 3, 4, 4)
    images[0, 0, 0, 0] = 1
    assert content_ids(images) != content_ids(images.flip(3))
    assert content_ids(images) != content_ids(images.transpose(2, 3).flip(2))


def test_ids_of_many_nearly_equal_images_do_not_collide():
    images = torch.zeros(3000, 3, 32, 32)
    images.flatten(1)[torch.arange(3000), torch.arange(3000)] = 1 / 255
    assert len(content_ids(images).unique()) == 3000


def test_a_derived_seed_depends_on_every_part_on_their_order_and_on_their_kind():
    seeds = [
        derive_seed(1, 2),
        derive_seed(2, 1),
        derive_seed(1),
        derive_seed(1, 2, 0),
        derive_seed(12),
        derive_seed("1", 2),
        derive_seed("1, 2"),
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_numbers_are_pinned_so_that_old_results_can_be_repeated():
    assert derive_seed(0, "pgd", 1) == 1031128836265654227
    assert content_ids(torch.full((1, 3, 2, 2), 0.5)).tolist() == [3151111542056962406]
    noise_of_one = Noise(0, torch.tensor([1]), "pgd")
    assert noise_of_one.bits((2,)).tolist() == [[-2039281178963225208, 6505429723648511432]]
    assert noise_of_one.normal((2,)).flatten().tolist() == pytest.approx([-0.4829409, 0.4642152], rel=1e-6)
