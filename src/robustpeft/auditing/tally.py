"""What do the predictions count up to? A measurement per condition and a row per image, from the same numbers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from robustpeft.auditing.conditions import Condition
from robustpeft.auditing.measure import Outcome
from robustpeft.records import ImageRow, Measurement, Rate
from robustpeft.types import Split

__all__ = ["image_rows", "measurement"]


def measurement(condition: Condition, outcome: Outcome, labels: Tensor, num_classes: int) -> Measurement:
    """Return the counts of one condition, on the images that it was tried on.

    Args:
        condition: What was done to the images.
        outcome: What the model answered.
        labels: Int64 (n,), in the order of the predictions.
        num_classes: Number of classes, those without an image included.
    """
    predictions = outcome.predictions
    if outcome.tried is not None:
        predictions, labels = predictions[outcome.tried], labels[outcome.tried]
    hits = labels[predictions == labels]
    correct, total = (torch.bincount(found, minlength=num_classes).tolist() for found in (hits, labels))
    return Measurement(
        key=condition.key,
        kind=condition.kind,
        name=condition.name,
        correct=Rate(len(hits), len(labels)),
        per_class=tuple(Rate(count, n) for count, n in zip(correct, total, strict=True)),
        settings=condition.settings,
        threat=condition.plain_threat,
        strength=condition.strength,
        forwards=outcome.forwards,
        backwards=outcome.backwards,
        seconds=outcome.seconds,
        queries=condition.queries,
        note=outcome.note,
        borrowed=outcome.borrowed,
    )


def image_rows(
    split: Split,
    predictions: Mapping[str, Tensor],
    asked: Mapping[str, Mapping[int, int]] | None = None,
    smallest: Mapping[int, float] | None = None,
    tried: Mapping[str, Tensor] | None = None,
) -> tuple[ImageRow, ...]:
    """Return one row per image, in the order of the split.

    Args:
        split: The images.
        predictions: Int64 (n,) for each key of a measurement.
        asked: For keys of measurements that count questions, by image id the one that broke it.
        smallest: By image id, the norm of the smallest perturbation that was found.
        tried: For keys that are not of all images, bool (n,): those they are of.
    """
    by_image = zip(*(predicted.tolist() for predicted in predictions.values()), strict=True)
    left_out = {key: set(split.ids[~those].tolist()) for key, those in (tried or {}).items()}
    counted = {key: by_id for key, by_id in (asked or {}).items() if by_id}
    return tuple(
        ImageRow(
            id_,
            label,
            {k: said for k, said in zip(predictions, answers, strict=True) if id_ not in left_out.get(k, ())},
            {key: by_id[id_] for key, by_id in counted.items() if id_ in by_id},
            (smallest or {}).get(id_),
        )
        for id_, label, answers in zip(split.ids.tolist(), split.labels.tolist(), by_image, strict=True)
    )
