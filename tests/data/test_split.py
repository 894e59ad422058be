import dataclasses

import pytest
import torch
from hypothesis import given, strategies as st

from robustpeft.data import Augment, Split
from robustpeft.data.image_store import InMemory, OnDemand
from robustpeft.errors import UserError


def make_split(labels: list[int]) -> Split:
    n = len(labels)
    pixels = torch.arange(n, dtype=torch.uint8).reshape(n, 1, 1, 1).expand(n, 3, 2, 2).contiguous()
    ids = torch.arange(n) * 7 + 1000
    return Split(InMemory(pixels), torch.arange(n), torch.tensor(labels, dtype=torch.int64), ids)


SPLIT = make_split([0] * 50 + [1] * 30 + [2] * 20)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.data())
def test_a_part_is_stratified_and_nested(labels, data):
    split = make_split(labels)
    n = data.draw(st.integers(1, len(labels)))
    part = split.take(n)
    assert len(part) == n
    assert set(split.take(max(1, n - 1)).ids.tolist()) <= set(part.ids.tolist())
    shares = split.labels.bincount(minlength=5) * n / len(labels)
    assert bool(((part.labels.bincount(minlength=5) - shares).abs() <= 2.5).all())


def test_a_part_of_even_size_has_exactly_the_same_shares():
    assert SPLIT.take(10).labels.bincount().tolist() == [5, 3, 2]


def test_a_rare_class_is_not_preferred():
    assert make_split([0] * 90 + [1] * 9 + [2]).take(10).labels.bincount(minlength=3).tolist() == [9, 1, 0]


def test_parts_keep_ids_with_their_images():
    part = SPLIT.take(13, seed=5)
    for i in range(13):
        assert part.ids[i] == int(part[i][0, 0, 0]) * 7 + 1000


def test_a_part_is_the_same_every_time_and_another_for_another_seed():
    assert torch.equal(SPLIT.take(20).ids, SPLIT.take(20).ids)
    assert not torch.equal(SPLIT.take(20, seed=1).ids, SPLIT.take(20).ids)


def test_a_part_does_not_depend_on_the_order_of_the_images():
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    assert set(SPLIT.subset(order).take(20).ids.tolist()) == set(SPLIT.take(20).ids.tolist())


def test_taking_everything_gives_the_split_itself():
    assert SPLIT.take(100) is SPLIT
    with pytest.raises(UserError, match="cannot take 0"):
        SPLIT.take(0)


def test_batches_cover_everything_once_in_order():
    batches = list(SPLIT.batches(32))
    assert [len(b) for b in batches] == [32, 32, 32, 4]
    assert torch.equal(torch.cat([b.ids for b in batches]), SPLIT.ids)
    assert torch.equal(torch.cat([b.labels for b in batches]), SPLIT.labels)
    images = torch.cat([b.images for b in batches])
    assert images.dtype == torch.float32
    assert torch.allclose(images[:, 0, 0, 0] * 255, torch.arange(100.0))


def test_shuffling_depends_on_its_seed_alone():
    before = torch.random.get_rng_state()
    first = torch.cat([b.ids for b in SPLIT.batches(32, shuffle_seed=1)])
    assert torch.equal(torch.cat([b.ids for b in SPLIT.batches(7, shuffle_seed=1)]), first)
    assert not torch.equal(torch.cat([b.ids for b in SPLIT.batches(32, shuffle_seed=2)]), first)
    assert sorted(first.tolist()) == SPLIT.ids.tolist()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_later_start_leaves_out_batches_without_reading_them():
    read: list[int] = []

    def decode(row: int) -> torch.Tensor:
        read.append(row)
        return torch.zeros(3, 2, 2, dtype=torch.uint8)

    lazy = dataclasses.replace(SPLIT, store=OnDemand(decode, [str(i) for i in range(100)], (2, 2), threads=1))
    all_ids = [b.ids.tolist() for b in SPLIT.batches(16, shuffle_seed=4)]
    assert [b.ids.tolist() for b in lazy.batches(16, shuffle_seed=4, start=5)] == all_ids[5:]
    assert len(read) == 20
    assert not list(SPLIT.batches(16, start=7))


def test_augmentation_follows_the_shuffle_seed_and_the_image_not_the_batch():
    augment = Augment(crop_padding=0.5, padding="zero")

    def by_id(batch_size: int, seed: int) -> dict[int, list[float]]:
        batches = SPLIT.batches(batch_size, shuffle_seed=seed, augment=augment)
        return {int(i): x.flatten().tolist() for b in batches for i, x in zip(b.ids, b.images, strict=True)}

    assert by_id(32, 1) == by_id(9, 1)
    assert by_id(32, 1) != by_id(32, 2)


def test_an_empty_split_has_no_batches():
    empty = SPLIT.subset(torch.zeros(0, dtype=torch.int64))
    assert not list(empty.batches(8, shuffle_seed=1))


def test_a_batch_size_below_one_is_refused_before_anything_is_read():
    with pytest.raises(UserError, match="batch_size"):
        SPLIT.batches(0)


def test_the_digest_tells_order_ids_and_labels_apart():
    swapped = dataclasses.replace(SPLIT, labels=SPLIT.labels.flip(0))
    digests = [SPLIT.digest, SPLIT.take(99).digest, SPLIT.subset(torch.arange(100).flip(0)).digest, swapped.digest]
    assert len(set(digests)) == 4
    assert SPLIT.digest == make_split(SPLIT.labels.tolist()).digest


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="rows"):
        Split(SPLIT.store, SPLIT.rows, SPLIT.labels[1:], SPLIT.ids)
