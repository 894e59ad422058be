"""How good are the weights now, on images that tuning does not see?"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from robustpeft.attacks import Attack
from robustpeft.training.processes import Processes
from robustpeft.training.protocols import Tunable, classifier
from robustpeft.types import Split, Threat, attack_view

__all__ = ["Scores", "validate"]

_MOST_CLASSES = 65536  # the histograms of all processes must have one length


@dataclass(frozen=True)
class Scores:
    """Counts on the validation images.

    Args:
        n: Images looked at.
        clean: Classified correctly.
        robust: Still classified correctly under attack; equal to `clean` without an attack.
        most_common: Images that got the most common prediction.
    """

    n: int
    clean: int
    robust: int
    most_common: int

    @property
    def collapsed(self) -> bool:
        """Whether nearly every image gets the same prediction although not nearly all deserve it."""
        return self.most_common > 0.95 * self.n and self.clean < 0.9 * self.n


def validate(
    tunable: Tunable, split: Split, attack: Attack | None, threat: Threat, batch_size: int, processes: Processes
) -> Scores:
    """Return counts on the validation images, shared out among the processes.

    Cost:
        1 forward an image, and the attack.
    """
    model = classifier(tunable)
    view = attack_view(model)
    device = next(iter(tunable.named_parameters().values())).device
    clean = robust = total = 0
    predicted: list[int] = []
    for number, batch in enumerate(split.batches(batch_size, device=device)):
        if number % processes.world != processes.rank:
            continue
        with torch.no_grad():
            predictions = view(batch.images).argmax(dim=1)
        right = predictions == batch.labels
        clean += int(right.sum())
        total += len(right)
        predicted += predictions.tolist()
        if attack is not None:
            adversarial = attack(model, batch.images, batch.labels, threat, seed=0, ids=batch.ids)
            with torch.no_grad():
                right &= view(adversarial).argmax(dim=1) == batch.labels
        robust += int(right.sum())
    histogram = torch.bincount(torch.tensor(predicted, dtype=torch.int64), minlength=_MOST_CLASSES)
    counts = processes.sum(torch.cat([torch.tensor([total, clean, robust]), histogram]).to(device)).tolist()
    return Scores(counts[0], counts[1], counts[2], max(counts[3:]))
