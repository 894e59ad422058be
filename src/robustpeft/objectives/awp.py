"""AWP: the worst images, judged by the worst weights nearby.

    min over w of  loss(w + v),   v[l] = gamma * |w[l]| * g[l] / |g[l]|,   g = grad over w of loss(w)

for every trained matrix l (Frobenius norms). The gradient is taken at w + v and applied to w.

Source: Wu, Xia and Wang 2020, arXiv:2004.05884, Section 4.1, Equations 7 and 9 with one step of ascent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from robustpeft.errors import UserError
from robustpeft.objectives.base import Loss, Objective
from robustpeft.objectives.lesson import Lesson, Moment
from robustpeft.objectives.pgd_at import PgdAt
from robustpeft.types import Classifier

__all__ = ["AWP"]


@final
@dataclass(frozen=True)
class AWP(Objective):
    """Another objective's loss at the trained weights nearby where it is largest, to first order.

    The weights themselves are not touched: the model is called with w + v in their place, whose gradient is that of w.
    Only what is trained is perturbed, and of that only tensors of two or more dimensions, as in the authors' code; a
    matrix that is 0, such as LoRA's B before the first step, stays so. At epsilon 0 nothing is perturbed. In passes
    over parts of a lesson, and in several processes, every part has its own v.

    Cost: what the objective costs, and its training pass once more.

    Args:
        objective: An adversarial one.
        gamma: Length of v relative to that of w, at least 0; 0.005 to 0.01 in the paper.
    """

    objective: Objective = field(default_factory=PgdAt)
    gamma: float = 0.005

    def __post_init__(self) -> None:
        if not self.gamma >= 0:
            raise UserError(f"gamma must be at least 0; got {self.gamma:g}")
        if not self.objective.adversarial:
            raise UserError(f"awp perturbs weights where there are adversarial images; got {self.objective!r}")

    @property
    def adversarial(self) -> bool:
        """True."""
        return True

    def prepare(self, model: Classifier, lesson: Lesson, moment: Moment) -> Lesson:
        """Return the lesson that the objective prepares, against the weights as they are."""
        return self.objective.prepare(model, lesson, moment)

    def loss(self, model: Classifier, lesson: Lesson) -> Loss:
        """Return the objective's loss at the perturbed weights.

        Raises:
            UserError: If the model is not a module.
        """
        if lesson.adversarial is None:
            return self.objective.loss(model, lesson)
        if not isinstance(model, nn.Module):
            raise UserError(f"awp perturbs the weights of a torch module; got {type(model).__name__}")
        weights = {name: p for name, p in model.named_parameters() if p.requires_grad and p.ndim > 1}
        before = self.objective.loss(model, lesson)
        gradients: tuple[Tensor | None, ...] = torch.autograd.grad(
            before.total, list(weights.values()), allow_unused=True
        )
        shifted = {
            name: weight + _ascent(weight, gradient, self.gamma)
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
            if gradient is not None
        }
        after = self.objective.loss(_Shifted(model, shifted), lesson)
        return Loss(after.total, after.parts | {"loss_before_weight_perturbation": before.total.detach()})


@torch.no_grad()
def _ascent(weight: Tensor, gradient: Tensor, gamma: float) -> Tensor:
    length: Tensor = gamma * weight.norm() / gradient.norm().clamp_min(1e-20)
    return gradient * length


class _Shifted:
    """The model with other tensors in the place of some parameters."""

    def __init__(self, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
        self._model = model
        self._weights = {f"model.{name}": weight for name, weight in weights.items()}

    def __call__(self, images: Tensor) -> Tensor:
        logits: Tensor = functional_call(_Ask(self._model), self._weights, ("__call__", images))
        return logits

    def features(self, images: Tensor) -> Tensor:
        embedding: Tensor = functional_call(_Ask(self._model), self._weights, ("features", images))
        return embedding


class _Ask(nn.Module):
    """Turns a call of any method into a call of the module, which is what `functional_call` can do."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, method: str, images: Tensor) -> Tensor:
        answer: Tensor = getattr(self.model, method)(images)
        return answer
