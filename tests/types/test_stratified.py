from itertools import pairwise

import torch

from robustpeft.types import chosen_part, ranks_within

LABELS = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)
IDS = torch.arange(100) * 7


def test_ranks_number_each_class_from_zero():
    ranks = ranks_within(LABELS, IDS, seed=0)
    for c, count in ((0, 50), (1, 30), (2, 20)):
        assert sorted(ranks[c == LABELS].tolist()) == list(range(count))
    assert any(a > b for a, b in pairwise(ranks[:50].tolist()))


def test_classes_keep_their_shares_and_the_choice_is_nested():
    parts = {n: chosen_part(LABELS, IDS, n, seed=3).tolist() for n in (0, 1, 10, 11, 50, 100, 1000)}
    assert [len(part) for part in parts.values()] == [0, 1, 10, 11, 50, 100, 100]
    assert LABELS[parts[10]].bincount().tolist() == [5, 3, 2]
    assert LABELS[parts[50]].bincount().tolist() == [25, 15, 10]
    assert set(parts[1]) < set(parts[10]) < set(parts[11]) < set(parts[50])
    assert all(part == sorted(part) for part in parts.values())


def test_the_choice_depends_on_the_seed_and_not_on_the_order():
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    chosen = IDS[chosen_part(LABELS, IDS, 20, seed=1)]
    assert set(IDS[order][chosen_part(LABELS[order], IDS[order], 20, seed=1)].tolist()) == set(chosen.tolist())
    assert not torch.equal(IDS[chosen_part(LABELS, IDS, 20, seed=2)], chosen)
