"""What does the model answer under one condition? A prediction for every image, and what it cost to get them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robustpeft.attacks import Judge
from robustpeft.auditing.conditions import Condition
from robustpeft.auditing.progress import Pace
from robustpeft.auditing.sanity import check_answer
from robustpeft.types import Split

__all__ = ["Answer", "Outcome", "Setting", "measure"]


@dataclass(frozen=True)
class Setting:
    """What stays the same for all conditions.

    Args:
        judge: Who is asked.
        split: The images.
        classes: Class names, label i is entry i.
        width: Images in every pass.
        device: Where the model lies.
        seed: Of all randomness.
        shown: Int64 ids of the images that are kept to be looked at.
    """

    judge: Judge
    split: Split
    classes: tuple[str, ...]
    width: int
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
        predictions: Int64 (n,), in the order of the split, on the CPU; of images that it was not tried on, those of the
            clean ones.
        answers: The images that are shown, by id.
        forwards: Forward passes in images, the one for the predictions included.
        backwards: Backward passes in images.
        seconds: Wall time, reading the images included.
        asked: By image id, the number of the question that broke it; where questions are counted.
        note: What a reader must know of how it came about.
        borrowed: By the name of the model against which they were found, how many images that were broken were broken
            by one found there.
        tried: Bool (n,): the images that it was tried on; None for all.
    """

    predictions: Tensor
    answers: dict[int, Answer]
    forwards: int
    backwards: int
    seconds: float
    asked: dict[int, int] = field(default_factory=dict)
    note: str = ""
    borrowed: dict[str, int] = field(default_factory=dict)
    tried: Tensor | None = None


def measure(condition: Condition, setting: Setting, pace: Pace) -> Outcome:
    """Return the model's predictions for all images, clean or perturbed.

    Cost:
        1 forward an image.

    Raises:
        UserError: If the model's answers are not finite logits for these classes.
    """
    start, asked = time.perf_counter(), setting.judge.forwards
    predictions: list[Tensor] = []
    answers: dict[int, Answer] = {}
    done = correct = 0
    for batch in setting.split.batches(setting.width, device=setting.device):
        images = condition.apply(batch, setting.seed)
        verdict = setting.judge(images, batch.labels)
        check_answer(verdict.logits, len(batch.ids), setting.classes)
        predictions.append(verdict.predictions)
        done += len(batch.ids)
        correct += int((verdict.predictions == batch.labels.cpu()).sum())
        for row in torch.isin(batch.ids, setting.shown.to(batch.ids.device)).nonzero().flatten().tolist():
            answers[int(batch.ids[row])] = Answer(images[row].cpu(), verdict.logits[row])
        pace.tell(condition, done, correct, time.perf_counter() - start)
    seconds = time.perf_counter() - start
    return Outcome(torch.cat(predictions), answers, setting.judge.forwards - asked, 0, seconds)
