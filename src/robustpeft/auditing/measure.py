"""What does the model answer under one condition? A prediction for every image, and what it cost to get them."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from robustpeft.auditing.conditions import Condition
from robustpeft.auditing.counted_view import CountedView
from robustpeft.auditing.progress import Pace
from robustpeft.auditing.sanity import check_answer
from robustpeft.types import Split

__all__ = ["Answer", "Outcome", "Setting", "measure"]


@dataclass(frozen=True)
class Setting:
    """What stays the same for all conditions.

    Args:
        view: The model, frozen and counted.
        split: The images.
        classes: Class names, label i is entry i.
        batch_size: Images per forward pass.
        device: Where the model lies.
        seed: Of all randomness.
        shown: Int64 ids of the images that are kept to be looked at.
    """

    view: CountedView
    split: Split
    classes: tuple[str, ...]
    batch_size: int
    device: torch.device
    seed: int
    shown: Tensor


@dataclass(frozen=True)
class Answer:
    """One image as the model saw it, and its answer.

    Args:
        image: Float (3, h, w) in [0, 1], on the CPU.
        logits: Float (k,), on the CPU.
    """

    image: Tensor
    logits: Tensor


@dataclass(frozen=True)
class Outcome:
    """What came of one condition.

    Args:
        predictions: Int64 (n,), in the order of the split, on the CPU.
        answers: The images that are shown, by id.
        forwards: Forward passes in images, the one for the predictions included.
        backwards: Backward passes in images.
        seconds: Wall time, reading the images included.
    """

    predictions: Tensor
    answers: dict[int, Answer]
    forwards: int
    backwards: int
    seconds: float


def measure(condition: Condition, setting: Setting, pace: Pace) -> Outcome:
    """Return the model's predictions for all images under one condition.

    Every prediction is a forward pass of its own over the final images, whatever an attack believed it had reached.

    Cost:
        1 forward an image, and the attack.

    Raises:
        UserError: If the model's answers are not finite logits for these classes.
        RuntimeError: If an attack left its threat.
    """
    view = setting.view
    forwards, backwards, start = view.forwards, view.backwards, time.perf_counter()
    predictions: list[Tensor] = []
    answers: dict[int, Answer] = {}
    done = correct = 0
    for batch in setting.split.batches(setting.batch_size, device=setting.device):
        images = condition.apply(view, batch, setting.seed)
        with torch.no_grad():
            logits = view(images)
        check_answer(logits, len(batch.ids), setting.classes)
        predicted = logits.argmax(dim=1)
        predictions.append(predicted.cpu())
        done += len(predicted)
        correct += int((predicted == batch.labels).sum())
        for row in torch.isin(batch.ids, setting.shown.to(batch.ids.device)).nonzero().flatten().tolist():
            answers[int(batch.ids[row])] = Answer(images[row].cpu(), logits[row].float().cpu())
        pace.tell(condition, done, correct, time.perf_counter() - start)
    return Outcome(
        torch.cat(predictions),
        answers,
        view.forwards - forwards,
        view.backwards - backwards,
        time.perf_counter() - start,
    )
