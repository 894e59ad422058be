"""Which image goes into which split? Stratified by class, fixed by seed and ids, with groups kept whole."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robustpeft.data.reading import listing
from robustpeft.data.split import Split
from robustpeft.errors import UserError
from robustpeft.types import Noise, ranks_within

__all__ = ["TEST_SHARE", "VALIDATION_SHARE", "Shares", "check_shares", "complete", "partition"]

VALIDATION_SHARE = 0.15
TEST_SHARE = 0.2

Shares = tuple[float, float, float]
"""Of train, validation and test; they sum to 1, and a share of 0 leaves that split empty."""


def check_shares(validation: float, test: float) -> Shares:
    """Return the three shares.

    Raises:
        UserError: If one is outside [0, 1) or nothing is left to train on.
    """
    if not (0 <= validation < 1 and 0 <= test < 1 and validation + test < 1):
        raise UserError(
            "the shares of validation and test must be at least 0 and leave something to train on; "
            f"got {validation} and {test}"
        )
    return 1.0 - validation - test, validation, test


def partition(
    labels: Tensor,
    ids: Tensor,
    shares: Shares,
    *,
    seed: int,
    groups: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
) -> Tensor:
    """Return int64 (n,): 0, 1 or 2 for each image, by class as near to the shares as whole images allow.

    Args:
        labels: Int64 (n,).
        ids: Int64 (n,); the result depends on them, not on the order of the images.
        shares: Of the three splits.
        seed: Other seeds give other splits.
        groups: A word per image; images with the same word stay together. Shares are then met less exactly.
        classes: Class names, for messages.

    Raises:
        UserError: If a class is too small to be in every split whose share is not 0.
    """
    part = _by_class(labels, ids, shares, seed) if groups is None else _by_group(labels, ids, shares, seed, groups)
    parts = [i for i, share in enumerate(shares) if share > 0]
    small = [c for c in torch.unique(labels).tolist() if any(not ((labels == c) & (part == i)).any() for i in parts)]
    if small:
        names = [repr(classes[c]) if classes is not None else str(c) for c in small]
        unit = "images" if groups is None else "groups"
        raise UserError(f"too few {unit} to have some in each of {len(parts)} splits: class {listing(names)}")
    return part


def _by_class(labels: Tensor, ids: Tensor, shares: Shares, seed: int) -> Tensor:
    sizes = labels.bincount()
    part = torch.zeros_like(labels)
    ranks = ranks_within(labels, ids, seed)
    end = torch.zeros_like(sizes)
    for i, share in ((2, shares[2]), (1, shares[1])):
        wanted = (sizes * share).round().long().clamp_min(1 if share > 0 else 0)
        part[(ranks >= end[labels]) & (ranks < (end + wanted)[labels])] = i
        end = end + wanted
    return part


def _by_group(labels: Tensor, ids: Tensor, shares: Shares, seed: int, groups: Sequence[str]) -> Tensor:
    """Give one group after the other, large ones first, to the split that lacks most of its classes."""
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    lots = Noise(seed, ids, "groups").uniform(()).tolist()
    order = sorted(members.values(), key=lambda group: (-len(group), min(lots[i] for i in group)))
    wanted = torch.tensor(shares, dtype=torch.float64)[:, None] * labels.bincount()
    given = torch.zeros_like(wanted)
    part = torch.zeros_like(labels)
    for together in order:
        content = labels[together].bincount(minlength=wanted.shape[1])
        filled = torch.where(wanted > 0, given / wanted, torch.inf)
        lack = [float((content * (1.0 - row))[content > 0].sum()) for row in filled]
        chosen = max(range(3), key=lambda i: (lack[i], shares[i]))
        given[chosen] += content
        part[together] = chosen
    return part


def complete(
    train: Split | None, validation: Split | None, test: Split | None, *, seed: int
) -> tuple[Split, Split, Split]:
    """Return three splits, taking validation (15 %) and test (20 %) out of train where they are missing.

    Without train nothing can be taken: what is missing is then empty.

    Raises:
        UserError: If there is nothing at all, or a class is too small.
    """
    given = [split for split in (train, validation, test) if split is not None]
    if not given:
        raise UserError("a data set needs at least one of train, validation and test")
    nothing = given[0].subset(torch.zeros(0, dtype=torch.int64))
    if train is None:
        return nothing, nothing if validation is None else validation, nothing if test is None else test
    shares = check_shares(VALIDATION_SHARE if validation is None else 0.0, TEST_SHARE if test is None else 0.0)
    part = partition(train.labels, train.ids, shares, seed=seed)
    rest, held_out, judged = (train.subset((part == i).nonzero().flatten()) for i in range(3))
    return rest, held_out if validation is None else validation, judged if test is None else test
