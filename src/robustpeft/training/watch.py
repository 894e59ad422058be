"""What must a person hear at once? That predictions have collapsed, or that the loss is not finite."""

from __future__ import annotations

import logging
from collections import deque
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from robustpeft.types import Batch

__all__ = ["FAILED_BATCH_FILE", "CollapseWatch", "keep_batch"]

_log = logging.getLogger(__name__)

FAILED_BATCH_FILE = "failed_batch.safetensors"


class CollapseWatch:
    """Sees in the training steps that nearly every image gets the same prediction although not nearly all deserve it.

    Args:
        steps: Steps that are looked at together.
    """

    def __init__(self, steps: int = 20) -> None:
        self._steps = steps
        self._seen: deque[tuple[Tensor, Tensor]] = deque(maxlen=steps)
        self._since = 0
        self.collapsed = False

    def see(self, predicted: Tensor | None, labels: Tensor, step: int) -> None:
        """Take in one step's predictions, and say it when they have just collapsed.

        Args:
            predicted: Int (b,); None if they are not known.
            labels: Int (b,).
            step: Its number, for the message.
        """
        if predicted is None or predicted.shape != labels.shape:
            return
        self._seen.append((predicted, labels))
        self._since += 1
        if self._since < self._steps:  # one look in so many steps: on a GPU, looking waits for it
            return
        self._since = 0
        now = self._constant()
        if now and not self.collapsed:
            _log.warning(
                "by step %d nearly all training images get the same prediction: the learning rate may be too high or "
                "the epsilon ramp too short",
                step,
            )
        self.collapsed = now

    def _constant(self) -> bool:
        predicted, labels = (torch.cat([pair[i] for pair in self._seen]) for i in (0, 1))
        answer = predicted.mode().values
        return bool((predicted == answer).float().mean() > 0.95) and bool((labels == answer).float().mean() < 0.9)


def keep_batch(batch: Batch, directory: Path) -> Path:
    """Write the images, labels and ids of a batch that broke tuning, and return the file."""
    file = directory / FAILED_BATCH_FILE
    tensors = {"images": batch.images, "labels": batch.labels, "ids": batch.ids}
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, file)
    return file
