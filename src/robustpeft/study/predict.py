"""What does a tuned model say of a folder of pictures? One line a picture."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from robustpeft.backbones import ImageClassifier
from robustpeft.data import load_images
from robustpeft.errors import UserError
from robustpeft.records import write_text

__all__ = ["Prediction", "in_short", "predict", "write_predictions"]

_FEW = 10


@dataclass(frozen=True)
class Prediction:
    """What the model says of one picture.

    Args:
        path: The picture.
        label: Name of the most probable class; empty if the picture cannot be read.
        confidence: Its softmax probability in [0, 1].
        problem: Why the picture cannot be read; empty if it can.
    """

    path: Path
    label: str
    confidence: float
    problem: str = ""


@torch.no_grad()
def predict(model: ImageClassifier, folder: str | Path, batch_size: int = 64) -> list[Prediction]:
    """Return the predictions for all pictures below a folder in natural order, then those that cannot be read.

    Raises:
        UserError: If there are no pictures.

    Cost:
        1 forward a picture.
    """
    if model.image_size is None:
        raise UserError("the model does not say which image size it takes; set model.image_size")
    images = load_images(folder, model.image_size)
    view = model.attack_view()
    device = model.normalize.mean.device
    found: list[Prediction] = []
    for batch in images.batches(batch_size, device):
        confidences, indices = view(batch).softmax(dim=1).max(dim=1)
        for confidence, index in zip(confidences.tolist(), indices.tolist(), strict=True):
            name = model.classes[index] if model.classes else str(index)
            found.append(Prediction(images.paths[len(found)], name, confidence))
    return found + [Prediction(Path(b.name), "", 0.0, b.reason) for b in images.broken]


def in_short(predictions: Sequence[Prediction]) -> list[str]:
    """Return a line for each of a few pictures, or else how many got each label, the most frequent first."""
    read = [prediction for prediction in predictions if not prediction.problem]
    if len(read) <= _FEW:
        return [f"{p.path.name}: {p.label}, {100 * p.confidence:.1f} %" for p in read]
    counts = Counter(prediction.label for prediction in read).most_common()
    more = f" and {len(counts) - _FEW} more classes" if len(counts) > _FEW else ""
    said = ", ".join(f"{count:,} {label}" for label, count in counts[:_FEW])
    return [f"{len(read):,} pictures: {said}{more}"]


def write_predictions(predictions: list[Prediction], output: Path) -> None:
    """Write them as CSV with the columns path, label, confidence, problem."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["path", "label", "confidence", "problem"])
    for p in predictions:
        writer.writerow([p.path, p.label, "" if p.problem else f"{p.confidence:.4f}", p.problem])
    write_text(output, text.getvalue())
