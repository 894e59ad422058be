import pytest
import torch
from hypothesis import given, settings, strategies as st

from robustpeft.data.image_store import InMemory
from robustpeft.data.partition import check_shares, complete, partition
from robustpeft.data.split import Split
from robustpeft.errors import UserError

SHARES = (0.6, 0.2, 0.2)


def make_split(n_per_class: int, first_id: int = 0) -> Split:
    labels = torch.arange(3).repeat_interleave(n_per_class)
    n = len(labels)
    return Split(
        InMemory(torch.zeros(n, 3, 1, 1, dtype=torch.uint8)), torch.arange(n), labels, torch.arange(n) + first_id
    )


@given(st.lists(st.integers(3, 40), min_size=1, max_size=5), st.integers(0, 9))
def test_every_class_is_divided_as_near_to_the_shares_as_whole_images_allow(counts, seed):
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    part = partition(labels, torch.arange(len(labels)), SHARES, seed=seed)
    for c, count in enumerate(counts):
        for i, share in enumerate(SHARES):
            assert abs(int(((labels == c) & (part == i)).sum()) - share * count) <= 1
            assert bool(((labels == c) & (part == i)).any())


def test_the_smallest_share_of_the_smallest_class_is_one_image():
    part = partition(torch.zeros(3, dtype=torch.int64), torch.arange(3), (0.9, 0.05, 0.05), seed=0)
    assert part.bincount().tolist() == [1, 1, 1]


def test_a_part_follows_the_ids_not_the_order():
    labels = torch.arange(60) % 3
    ids = torch.arange(60) + 500
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    part = partition(labels, ids, SHARES, seed=1)
    assert torch.equal(partition(labels[order], ids[order], SHARES, seed=1), part[order])
    assert not torch.equal(partition(labels, ids, SHARES, seed=2), part)


def test_a_share_of_zero_leaves_its_split_empty():
    part = partition(torch.zeros(10, dtype=torch.int64), torch.arange(10), (0.8, 0.2, 0.0), seed=0)
    assert part.bincount(minlength=3).tolist() == [8, 2, 0]


def test_a_class_with_too_few_images_is_named():
    labels = torch.tensor([0] * 10 + [1] * 2)
    with pytest.raises(UserError, match="too few images to have some in each of 3 splits: class 'rare'"):
        partition(labels, torch.arange(12), SHARES, seed=0, classes=("often", "rare"))


@settings(max_examples=40)
@given(st.integers(0, 99))
def test_groups_are_never_torn_and_shares_are_nearly_met(seed):
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, 6, (60,), generator=generator)
    group_of = torch.arange(60).repeat_interleave(sizes)
    labels = torch.randint(0, 3, (60,), generator=generator)[group_of]
    part = partition(labels, torch.arange(len(labels)), SHARES, seed=seed, groups=[str(g) for g in group_of.tolist()])
    for g in range(60):
        assert len(part[group_of == g].unique()) == 1
    for c in range(3):
        for i, share in enumerate(SHARES):
            got = int(((labels == c) & (part == i)).sum())
            assert abs(got - share * int((labels == c).sum())) <= 5


def test_a_class_with_too_few_groups_is_named():
    with pytest.raises(UserError, match="too few groups"):
        partition(torch.zeros(9, dtype=torch.int64), torch.arange(9), SHARES, seed=0, groups=list("aaaaabbbb"))


@pytest.mark.parametrize(("validation", "test"), [(-0.1, 0.2), (0.5, 0.5), (1.0, 0.0), (0.1, 20)])
def test_impossible_shares_are_refused(validation, test):
    with pytest.raises(UserError, match="shares"):
        check_shares(validation, test)


def test_missing_splits_are_taken_out_of_train():
    train, validation, test = complete(make_split(20), None, None, seed=0)
    assert [len(train), len(validation), len(test)] == [39, 9, 12]
    assert len({*train.ids.tolist(), *validation.ids.tolist(), *test.ids.tolist()}) == 60


def test_splits_that_are_given_are_kept():
    given_test = make_split(4, first_id=900)
    train, validation, test = complete(make_split(20), None, given_test, seed=0)
    assert test is given_test
    assert [len(train), len(validation)] == [51, 9]


def test_without_train_nothing_is_taken_from_the_others():
    only = make_split(4)
    train, validation, test = complete(None, None, only, seed=0)
    assert test is only
    assert len(train) == len(validation) == 0
    with pytest.raises(UserError, match="at least one"):
        complete(None, None, None, seed=0)
