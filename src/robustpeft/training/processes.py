"""How do several processes train one adapter? Each takes a slice of every batch; gradients are averaged once per step.

An adapter is small, so its gradients travel as one flat vector. Started by ``torchrun``, which sets WORLD_SIZE.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = ["Processes", "is_first_process"]


def is_first_process() -> bool:
    """Return whether this process writes files and speaks to the person."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


class Processes:
    """The processes of one run; a single one when not started by a launcher."""

    def __init__(self) -> None:
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0")) if self.world > 1 else 0
        self._opened = False
        if self.world > 1 and not dist.is_initialized():
            if torch.cuda.is_available():
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
            self._opened = True

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks to the person."""
        return self.rank == 0

    def mine(self, values: Tensor) -> Tensor:
        """Return this process's share of a batch: every world-th row."""
        return values[self.rank :: self.world]

    def average_gradients(self, parameters: Sequence[nn.Parameter], share: float) -> None:
        """Replace gradients of means over slices by the gradient of the mean over the batch.

        Args:
            parameters: In the same order in every process; one without a gradient counts as 0.
            share: Images of this slice as a share of the batch; the shares of all processes sum to 1.
        """
        if self.world == 1:
            return
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]) * share
        dist.all_reduce(flat)
        for parameter, piece in zip(parameters, torch.split(flat, [p.numel() for p in parameters]), strict=True):
            parameter.grad = piece.view_as(parameter)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of `values` over all processes."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def wait(self) -> None:
        """Return when every process has come here, so that none leaves while another still speaks to it."""
        if self.world > 1:
            dist.barrier()

    def close(self) -> None:
        """Leave the group if this object opened it."""
        if self._opened:
            dist.destroy_process_group()
