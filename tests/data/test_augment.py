import pytest
import torch

from robustpeft.data import Augment
from robustpeft.errors import UserError

IDS = torch.arange(200)
IMAGES = torch.rand(200, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_variation_depends_on_seed_and_id_but_not_on_the_order_of_the_batch():
    augment = Augment()
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    whole = augment(IMAGES, seed=3, ids=IDS)
    assert torch.equal(augment(IMAGES[order], seed=3, ids=IDS[order]), whole[order])
    assert torch.equal(augment(IMAGES[7:8], seed=3, ids=IDS[7:8]), whole[7:8])
    assert not torch.equal(augment(IMAGES, seed=4, ids=IDS), whole)


def test_the_global_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    Augment()(IMAGES, seed=0, ids=IDS)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_about_half_of_the_images_are_mirrored_and_nothing_else():
    varied = Augment(crop_padding=0)(IMAGES, seed=0, ids=IDS)
    mirrored = (varied == IMAGES.flip(3)).flatten(1).all(1)
    kept = (varied == IMAGES).flatten(1).all(1)
    assert bool((mirrored ^ kept).all())
    assert 70 < int(mirrored.sum()) < 130


def test_crops_are_shifts_by_whole_pixels_and_all_of_them_occur():
    varied = Augment(crop_padding=0.125, flip=False, padding="zero")(IMAGES, seed=0, ids=IDS)
    padded = torch.nn.functional.pad(IMAGES, (1, 1, 1, 1))
    seen = torch.zeros(200, dtype=torch.int64)
    for dy in range(3):
        for dx in range(3):
            equal = (varied == padded[:, :, dy : dy + 8, dx : dx + 8]).flatten(1).all(1)
            assert equal.any()
            seen += equal
    assert bool((seen == 1).all())


def test_reflection_brings_in_no_new_colour():
    ramp = torch.arange(64.0).reshape(1, 1, 8, 8).expand(200, 3, 8, 8) / 64 + 0.01
    varied = Augment(crop_padding=0.5)(ramp, seed=0, ids=IDS)
    assert set(varied.unique().tolist()) <= set(ramp.unique().tolist())


def test_nothing_asked_for_changes_nothing():
    assert torch.equal(Augment(crop_padding=0, flip=False)(IMAGES, seed=0, ids=IDS), IMAGES)


def test_an_empty_batch_stays_empty():
    assert Augment()(IMAGES[:0], seed=0, ids=IDS[:0]).shape == (0, 3, 8, 8)


@pytest.mark.parametrize("bad", [{"crop_padding": -0.1}, {"crop_padding": 4}, {"padding": "edge"}])
def test_fields_out_of_range_are_refused(bad):
    with pytest.raises(UserError):
        Augment(**bad)
