"""What if the answer depends on what was asked before? Attacks ask often, and about nearly the same image.

Source: Chen et al. 2020, arXiv:1907.05587 (stateful detection of black-box attacks); Wang et al. 2021,
arXiv:2006.10726 (statistics that move at test time).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustpeft.auditing.specimens.around import Around

__all__ = ["call_counter", "moving_statistics", "query_limit", "query_memory"]

_PERIOD = 5
_PER_CALL = 0.1
_ANSWERED = 2000
_NEAR = 0.25
_REMEMBERED = 1024
_MOMENTUM = 0.1


def call_counter(model: nn.Module) -> nn.Module:
    """Return the model with some of each class's neighbour's logit added, the more the later of five calls it is."""
    return Around(model, after=_Counter())


def query_limit(model: nn.Module) -> nn.Module:
    """Return the model that answers 2,000 images, and after that says zero to everything."""
    return Around(model, after=_Limit())


def query_memory(model: nn.Module) -> nn.Module:
    """Return the model that gives an image within 0.25 (Linf) of an earlier one the earlier answer, as a constant."""
    return _Remembering(model)


def moving_statistics(model: nn.Module) -> nn.Module:
    """Return the model with a running mean of its logits subtracted, which moves in eval mode too."""
    return Around(model, after=_Running())


class _Counter(nn.Module):
    """Counts calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, logits: Tensor) -> Tensor:
        """Return the logits as they are in this call."""
        share = _PER_CALL * (self.calls % _PERIOD)
        self.calls += 1
        return logits + share * logits.roll(1, dims=1)


class _Limit(nn.Module):
    """Counts images."""

    def __init__(self) -> None:
        super().__init__()
        self.answered = 0

    def forward(self, logits: Tensor) -> Tensor:
        """Return the logits, or zeros where too many came before."""
        numbers = self.answered + torch.arange(len(logits), device=logits.device)
        self.answered += len(logits)
        return logits * (numbers < _ANSWERED).to(logits.dtype)[:, None]


class _Running(nn.Module):
    """A mean over everything that was answered, later answers counting more."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, logits: Tensor) -> Tensor:
        """Return the logits without the mean so far."""
        now = logits.detach().mean(dim=0)
        self.mean = (1 - _MOMENTUM) * self.mean.to(now) + _MOMENTUM * now
        return logits - self.mean


class _Remembering(nn.Module):
    """Knows the last images and what it said."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.images: Tensor | None = None
        self.answers: Tensor | None = None
        self.training = inner.training

    def forward(self, images: Tensor) -> Tensor:
        """Return the model's logits, or those of a nearly equal image."""
        logits: Tensor = self.inner(images)
        asked, said = images.detach().flatten(1).float().clone(), logits.detach().clone()
        if self.images is None or self.answers is None:
            self.images, self.answers = asked, said
            return logits
        distance, nearest = torch.cdist(asked, self.images, p=float("inf")).min(dim=1)
        known = distance < _NEAR
        answers = torch.where(known[:, None], self.answers[nearest], logits)
        self.images = torch.cat([self.images, asked[~known]])[-_REMEMBERED:]
        self.answers = torch.cat([self.answers, said[~known]])[-_REMEMBERED:]
        return answers
