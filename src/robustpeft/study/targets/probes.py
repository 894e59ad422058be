"""Which normalisation and which order of classes suit a model? Tried on a few hundred images, all results kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robustpeft.attacks.driver import default_slots
from robustpeft.attacks.subject import device_of
from robustpeft.backbones import ImageClassifier
from robustpeft.data import Split
from robustpeft.data.folder_scan import natural_key
from robustpeft.study.targets.normalizations import Normalization

__all__ = ["Trial", "beats", "order_of", "predictions", "try_orders"]

_LARGE = 3.0  # standard deviations for what would turn everything round
_SHARE = 0.10  # of the images, besides


@dataclass(frozen=True)
class Trial:
    """One way to ask the model, and which images it then gets right.

    Args:
        name: Of the normalisation or order.
        right: Bool (m,).
    """

    name: str
    right: Tensor

    @property
    def count(self) -> int:
        """Images right."""
        return int(self.right.sum())


def beats(one: Trial, other: Trial, deviations: float = 2.0) -> bool:
    """Return whether the one gets more of the same images right, by so many standard deviations of McNemar's test."""
    gained, lost = int((one.right & ~other.right).sum()), int((other.right & ~one.right).sum())
    return gained > lost and (gained - lost) ** 2 >= deviations**2 * (gained + lost)


@torch.no_grad()
def predictions(model: ImageClassifier, split: Split, normalization: Normalization | None = None) -> Tensor:
    """Return the predicted columns (m,) on the images of a split, on the CPU; the model's normalisation stays.

    Cost:
        1 forward an image.
    """
    device, own = device_of(model), model.normalize
    width = default_slots(torch.zeros(1, 3, *split.store.size))
    if normalization is not None:
        model.normalize = normalization.module().to(own.mean.device)
    try:
        return torch.cat([model(batch.images).argmax(dim=1).cpu() for batch in split.batches(width, device=device)])
    finally:
        model.normalize = own


def order_of(name: str, classes: Sequence[str], predicted: Tensor, labels: Tensor) -> list[int]:
    """Return which output each class is, if the outputs come in this order.

    Args:
        name: One of `ORDERS`.
        classes: Names in the data's order.
        predicted: Int64 (m,), for ``fitted``.
        labels: Int64 (m,), for ``fitted``.
    """
    if name == "fitted":
        return _fitted(predicted, labels, len(classes))
    if name == "data":
        return list(range(len(classes)))
    ranked = sorted(classes) if name == "lexicographic" else sorted(classes, key=natural_key)
    place = {each: number for number, each in enumerate(ranked)}
    return [place[each] for each in classes]


def try_orders(classes: Sequence[str], predicted: Tensor, labels: Tensor) -> Mapping[str, Trial]:
    """Return what is right in the data's order, in each common order that differs, and in a fitted one.

    The fitted one assigns outputs to classes so that the trace of the confusion matrix is largest (Hungarian method);
    it is found on one half of the images and counted on the other, both ways, so that chance does not flatter it.
    """
    found: dict[str, Trial] = {}
    seen: list[list[int]] = []
    for name in ("data", "lexicographic", "natural"):
        order = order_of(name, classes, predicted, labels)
        if order not in seen:
            seen.append(order)
            found[name] = Trial(name, torch.tensor(order)[labels] == predicted)
    right = torch.zeros(len(labels), dtype=torch.bool)
    even = torch.arange(len(labels)) % 2 == 0
    for half in (even, ~even):
        order = _fitted(predicted[half], labels[half], len(classes))
        right[~half] = torch.tensor(order)[labels[~half]] == predicted[~half]
    found["fitted"] = Trial("fitted", right)
    return found


def best_order(trials: Mapping[str, Trial]) -> Trial:
    """Return the data's order, unless another is better by far; a common one before one that is fitted."""
    own = trials["data"]
    far = [t for t in trials.values() if beats(t, own, _LARGE) and t.count - own.count >= _SHARE * len(t.right)]
    common = [trial for trial in far if trial.name != "fitted"]
    fitted = [trial for trial in far if trial.name == "fitted" and not any(not beats(trial, c, _LARGE) for c in common)]
    return max([*fitted, *common] if fitted else common or [own], key=lambda trial: trial.count)


def _fitted(predicted: Tensor, labels: Tensor, classes: int) -> list[int]:
    from scipy.optimize import linear_sum_assignment

    confusion = torch.eye(classes, dtype=torch.float64) * 1e-3  # a class that was not met stays where it is
    confusion.index_put_((labels, predicted), torch.ones(len(labels), dtype=torch.float64), accumulate=True)
    return [int(column) for column in linear_sum_assignment(-confusion.numpy())[1]]
