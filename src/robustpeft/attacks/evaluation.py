"""What does the model say at these points? Logits, and the gradient of a loss where one is asked for."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robustpeft.attacks.losses import AttackLoss
from robustpeft.errors import UserError
from robustpeft.types import Classifier, check_labels

__all__ = ["Health", "Reply", "check_classes", "check_logits", "evaluate"]

_log = logging.getLogger(__name__)

_NO_GRADIENT = (
    "the logits carry no gradient back to the images (is there a torch.no_grad or a detach in the model?); "
    "an attack by gradients cannot see through it"
)


@dataclass(frozen=True)
class Reply:
    """What one pass through the model told.

    Args:
        points: Where it looked, float32 (b, 3, h, w).
        logits: Float32 (b, k), detached.
        loss: (b,), detached; None if no loss was asked for.
        gradient: Of the loss, (b, 3, h, w); None in a pass without backward.
    """

    points: Tensor
    logits: Tensor
    loss: Tensor | None = None
    gradient: Tensor | None = None

    def labels_alone(self) -> Reply:
        """Return what is left for one who is told the predicted class only: 1 there, 0 elsewhere."""
        chosen = self.logits.argmax(dim=1, keepdim=True)
        return Reply(self.points, torch.zeros_like(self.logits).scatter_(1, chosen, 1.0))


class Health:
    """Remembers, on the device and without waiting for it, whether every answer so far meant something.

    Attributes:
        classes: For so many classes the labels have been looked at, which takes a wait for the device; 0 for not yet.
            Whoever brings other labels later has looked at them.
    """

    def __init__(self) -> None:
        self.classes = 0
        self._ailment: Tensor | None = None  # the first that occurred: 0 none, 1 in the logits, 2 in the gradient
        self._still: Tensor | None = None
        self._rows = 0

    def watch(self, logits: Tensor, gradient: Tensor | None) -> None:
        """Take note of one pass."""
        # Largest sizes say it all in a third of the calls of isfinite: nan where anything is, and then not below inf.
        now = (logits.abs().amax() < torch.inf).logical_not().long()
        if gradient is not None:
            flat = gradient.flatten(1)
            largest = torch.maximum(flat.amax(dim=1), -flat.amin(dim=1))  # a third of the time of abs, which copies
            now = torch.where((largest.amax() < torch.inf) | now.bool(), now, 2)
            still = (largest == 0).sum()
            self._still = still if self._still is None else torch.maximum(self._still, still)
            self._rows = len(logits)
        self._ailment = now if self._ailment is None else torch.where(self._ailment == 0, now, self._ailment)

    @property
    def ailment(self) -> Tensor:
        """Int64, on the device: 0 as long as every answer meant something."""
        return torch.tensor(0) if self._ailment is None else self._ailment

    def settle(self) -> None:
        """Raise if an answer meant nothing, and say when gradients were exactly 0.

        Raises:
            UserError: If a logit or a gradient was not finite.
        """
        ailment = 0 if self._ailment is None else int(self._ailment)
        if ailment == 1:
            raise UserError("the model returned logits that are not finite; an attack on them would mean nothing")
        if ailment == 2:  # sign(nan) is 0: standing still would look like robustness
            raise UserError("the gradient at the images is not finite; an attack along it would mean nothing")
        if self._still is not None and (still := int(self._still)):
            _log.warning(
                "%d of %d images have a gradient of exactly 0: the attack stands still there, so accuracy under it is "
                "too high; attack with loss=margin too",
                still,
                self._rows,
            )


def evaluate(
    view: Classifier,
    points: Tensor,
    labels: Tensor,
    loss: AttackLoss | None = None,
    *,
    targets: Tensor | None = None,
    samples: int = 1,
    health: Health | None = None,
    backward: bool = True,
) -> Reply:
    """Return logits, and loss and input gradient where a loss is given, each image on its own.

    Args:
        view: Called `samples` times.
        points: Float32 (b, 3, h, w).
        labels: Int64 (b,).
        loss: What is to be increased; None for logits alone.
        targets: Int64 (b,), the classes to be reached, for a targeted loss.
        samples: Mean over so many calls of a model that answers at random (expectation over transformation).
        health: Where it is remembered whether the answers mean something; checked at once if None.
        backward: False leaves the gradient out, and answers bit by bit as if it were asked for.

    Cost:
        `samples` forwards, and as many backwards if a loss is given.

    Raises:
        UserError: If the labels do not fit the logits or there is no gradient; if an answer is not finite, here or when
            `health` is settled.
    """
    watcher = health or Health()
    replies = [_evaluate(view, points, labels, loss, targets, backward, watcher) for _ in range(samples)]
    reply = replies[0] if samples == 1 else _mean(replies)
    watcher.watch(reply.logits, reply.gradient)
    if health is None:
        watcher.settle()
    return reply


def check_logits(logits: Any, labels: Tensor) -> Tensor:
    """Return the logits as float32 unless they cannot be those of a classifier of images with these labels.

    Raises:
        UserError: Saying what is wrong with them.
    """
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[0] != labels.shape[0]:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise UserError(f"the model must return logits (batch, classes); got {found}")
    return logits.float()


def check_classes(logits: Tensor, labels: Tensor, loss: AttackLoss | None, health: Health | None = None) -> None:
    """Raise unless the labels are classes of the logits and the loss has a meaning for so many.

    Raises:
        UserError: Saying which does not fit.
    """
    if health is None or health.classes != logits.shape[1]:
        check_labels(labels, num_classes=logits.shape[1])
    if health is not None:
        health.classes = logits.shape[1]
    if loss is not None and logits.shape[1] < loss.fewest_classes:
        raise UserError(
            f"{type(loss).__name__} needs at least {loss.fewest_classes} classes; the model has {logits.shape[1]}"
        )


def _evaluate(
    view: Classifier,
    points: Tensor,
    labels: Tensor,
    loss: AttackLoss | None,
    targets: Tensor | None,
    backward: bool,
    health: Health,
) -> Reply:
    # The model gets points of its own, and what it answered is copied: it may change the one in place, or hand out the
    # same tensor again next time.
    if loss is None:
        with torch.no_grad():
            logits = check_logits(view(points.clone()), labels).clone()
        check_classes(logits, labels, None, health)
        return Reply(points, logits)
    with torch.enable_grad():
        point = points.detach().requires_grad_(True)
        logits = check_logits(view(point.clone()), labels)
        check_classes(logits, labels, loss, health)
        values = loss(logits, labels, labels if targets is None else targets)
        if not values.requires_grad:
            raise UserError(_NO_GRADIENT)
        if not backward:
            return Reply(points, logits.detach().clone(), values.detach())
        (gradient,) = torch.autograd.grad(values.sum(), point, allow_unused=True)
    if gradient is None:
        raise UserError(_NO_GRADIENT)
    return Reply(points, logits.detach().clone(), values.detach(), gradient)


def _mean(replies: list[Reply]) -> Reply:
    def mean(tensors: list[Tensor | None]) -> Tensor | None:
        given = [tensor for tensor in tensors if tensor is not None]
        return torch.stack(given).mean(dim=0) if given else None

    logits = torch.stack([reply.logits for reply in replies]).mean(dim=0)
    gradient = mean([reply.gradient for reply in replies])
    return Reply(replies[0].points, logits, mean([reply.loss for reply in replies]), gradient)
