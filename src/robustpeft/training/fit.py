"""How do the parameters move? One plain loop over steps; it never hears which technique or data set it trains."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from robustpeft.training.loop import Loop
from robustpeft.training.protocols import Observer
from robustpeft.training.task import Task
from robustpeft.training.validation import Scores

__all__ = ["Fit", "Task", "fit"]


@dataclass(frozen=True)
class Fit:
    """What tuning came to; the model holds the best weights.

    Args:
        best_epoch: The epoch whose weights were kept, counted over all phases.
        scores: Their counts on the validation images.
        steps: Steps done.
        seconds: Wall time over all sessions.
        stopped: Whether it ended early, because nothing got better.
        collapsed: Whether even the best weights answer nearly every image alike.
        micro_batch_size: Images at once in the parameter pass at the end; None for the whole batch.
    """

    best_epoch: int
    scores: Scores
    steps: int
    seconds: float
    stopped: bool = False
    collapsed: bool = False
    micro_batch_size: int | None = None


def fit(task: Task, directory: Path, *, resume: bool = False, observer: Observer | None = None) -> Fit:
    """Tune, keep the weights that were best on the validation images, and return how good they were.

    Args:
        task: What to do.
        directory: For ``metrics.jsonl``, TensorBoard and checkpoints; one checkpoint per epoch.
        resume: Go on from the last checkpoint, to bit-identical weights on one CPU; start anew if there is none.
        observer: Called after every step, and again after every look at the validation images.

    Raises:
        NotFiniteError: If the loss is not finite; the batch is kept in ``failed_batch.safetensors``.
        UserError: If a checkpoint belongs to another plan, or not even one image fits into memory.
    """
    loop = Loop(task, directory, resume, observer)
    try:
        with torch.random.fork_rng():
            loop.run()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"after {loop.counters.epoch} of {task.plan.all_epochs} epochs") from None
    finally:
        loop.close()
    return Fit(
        loop.counters.best_epoch,
        loop.keep_best(),
        loop.counters.step,
        loop.counters.seconds,
        loop.counters.stopped,
        loop.counters.best_collapsed,
        loop.at_once.parameters,
    )
