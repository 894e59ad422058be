"""What is one step? The attack, the parameter pass, and the optimiser; in parts where memory asks for it."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robustpeft.errors import UserError
from robustpeft.objectives import Lesson, Natural, Objective
from robustpeft.training.memory import AtOnce, Half, is_out_of_memory, join_rows, parts
from robustpeft.training.optimizers import build_optimizer, set_rate, trained_in
from robustpeft.training.phases import Phase
from robustpeft.training.processes import Processes
from robustpeft.training.protocols import classifier
from robustpeft.training.recompute import recomputing
from robustpeft.training.schedules import with_attack_steps
from robustpeft.training.task import Task
from robustpeft.types import Batch, Threat, derive_seed, passes_dtype

__all__ = ["NotFiniteError", "Step", "Stepper", "Taken"]

_log = logging.getLogger(__name__)


class NotFiniteError(UserError):
    """The loss or its gradient is not finite: tuning has diverged."""


@dataclass(frozen=True)
class Step:
    """Which step it is.

    Args:
        number: Steps done in the whole run; it keys the randomness.
        done: Steps done in this phase.
        of: Steps of this phase.
    """

    number: int
    done: int
    of: int

    @property
    def progress(self) -> float:
        """Share of the phase that is done, in [0, 1)."""
        return self.done / self.of


@dataclass(frozen=True)
class Taken:
    """What a step found.

    Args:
        loss: Mean over the batch, of all processes.
        predicted: Int (b,), of this process's images in the training pass, as its adversary made them; None if unknown.
        met: Share of them classified correctly, where the objective says so; None otherwise.
    """

    loss: float
    predicted: Tensor | None = None
    met: Tensor | None = None


class Stepper:
    """Carries out the steps of one phase; what the phase does not train holds no gradient meanwhile.

    Args:
        task: What is tuned.
        phase: Which part of the course.
        at_once: Images at once; changed where memory runs out.
        processes: Who shares the batches.
    """

    def __init__(self, task: Task, phase: Phase, at_once: AtOnce, processes: Processes) -> None:
        self.task, self.phase, self.at_once, self.processes = task, phase, at_once, processes
        self.trained = trained_in(task.tunable, phase)
        for name, parameter in task.tunable.named_parameters().items():
            parameter.requires_grad_(name in self.trained)
            parameter.grad = None
        self.optimizer = build_optimizer(task.tunable, task.plan, phase)
        self.device = next(iter(self.trained.values())).device
        self.dtype = passes_dtype(task.plan.precision, self.device)
        self.objective = Natural() if phase.objective == "natural" else task.objective
        self.companion = task.tunable.companion if phase.trains == "all" else None
        self._half: Half = "attack"

    def threat(self, step: Step) -> Threat:
        """Return the adversary now; of radius 0 for an objective without one."""
        if not self.objective.adversarial:
            return self.task.threat.with_epsilon(0.0)
        return self.task.threat.with_epsilon(self.task.threat.epsilon * self.phase.epsilon_ramp.factor(step.progress))

    def step(self, batch: Batch, step: Step) -> Taken:
        """Move the parameters once.

        Raises:
            NotFiniteError: If the loss or its gradient is not finite; the parameters are not moved then.
            UserError: If not even one image fits into memory.
        """
        plan = self.task.plan
        set_rate(self.optimizer, plan.rate_factor(step.done, step.of))
        images, labels, ids = (self.processes.mine(t).to(self.device) for t in (batch.images, batch.labels, batch.ids))
        share = len(labels) / len(batch.labels)
        value, predicted, met = self._backward(images, labels, ids, step)
        if self.companion is not None:
            penalty = self.companion.penalty()
            penalty.backward()  # type: ignore[no-untyped-call]
            value = value + penalty.detach()
        mean = float(self.processes.sum(value * share))
        if not math.isfinite(mean):
            raise NotFiniteError(f"the loss is not finite at step {step.number}")
        trained = list(self.trained.values())
        self.processes.average_gradients(trained, share)
        if plan.clip is not None:
            norm = nn.utils.clip_grad_norm_(trained, plan.clip)
            if not math.isfinite(float(norm)):
                raise NotFiniteError(f"the gradient is not finite at step {step.number}")
        self.optimizer.step()
        if self.companion is not None:
            self.companion.after_step(step.done + 1, step.of)
        return Taken(mean, predicted, met)

    def _backward(self, images: Tensor, labels: Tensor, ids: Tensor, step: Step) -> _Pass:
        """Leave the gradient of the mean loss in the parameters, in as many parts as memory takes."""
        while True:
            self.optimizer.zero_grad(set_to_none=True)
            if not len(labels):
                return torch.zeros(1, device=self.device), None, None
            try:
                return self._try(images, labels, ids, step)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                said = str(error).splitlines()[0][:120]
            self._make_room(len(labels), step, said)  # outside of the handler: the error holds the tensors of the pass

    def _try(self, images: Tensor, labels: Tensor, ids: Tensor, step: Step) -> _Pass:
        seed = derive_seed(self.task.seed, "step", step.number)
        objective = self._objective(step)
        model, threat = classifier(self.task.tunable), self.threat(step)
        self._half = "attack"
        with self._precision(), self._thrift():
            lessons = [
                objective.lesson(
                    model, images[rows], labels[rows], threat, seed=seed, ids=ids[rows], progress=step.progress
                )
                for rows in parts(len(labels), self.at_once.attack, self.device)
            ]
        lesson = lessons[0]
        if len(lessons) > 1:
            lesson = lesson.with_tensors(join_rows([piece.tensors() for piece in lessons]))
        self._half = "parameters"
        torch.manual_seed(derive_seed(seed, self.processes.rank))  # for dropout; the global state is put back by `fit`
        return self._learn(objective, lesson, len(labels))

    def _learn(self, objective: Objective, lesson: Lesson, total: int) -> _Pass:
        """Return the mean loss over a lesson, its gradient being in the parameters."""
        value, met = torch.zeros(1, device=self.device), torch.zeros((), device=self.device)
        known, predicted = True, []
        for rows in parts(total, self.at_once.parameters, self.device):
            with self._precision(), self._predictions() as seen, self._thrift():
                loss = objective.loss(
                    classifier(self.task.tunable), lesson if len(rows) == total else lesson.take(rows)
                )
            weight = len(rows) / total
            (loss.total if weight == 1 else loss.total * weight).backward()  # type: ignore[no-untyped-call]
            value = value + loss.total.detach().reshape(1) * weight
            known = known and "adversarial_accuracy" in loss.parts
            met = met + loss.parts.get("adversarial_accuracy", met) * weight
            predicted += seen[-1:]
        everything = torch.cat(predicted) if predicted else None
        return value, everything, met if known else None

    @contextmanager
    def _predictions(self) -> Iterator[list[Tensor]]:
        """Within the context the model's answers (b,) are gathered, one entry per call."""
        seen: list[Tensor] = []

        def look(module: nn.Module, inputs: Any, logits: Any) -> None:
            if isinstance(logits, Tensor) and logits.ndim == 2:
                seen.append(logits.detach().argmax(dim=1))

        hook = self.task.tunable.model.register_forward_hook(look)
        try:
            yield seen
        finally:
            hook.remove()

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self.dtype or torch.bfloat16, enabled=self.dtype is not None)

    def _thrift(self) -> AbstractContextManager[None]:
        """Keep less for backward passes, but in a compiled model, whose compiler sees to that by itself."""
        compiled = any(type(m).__name__ == "OptimizedModule" for m in self.task.tunable.model.modules())
        return nullcontext() if compiled else recomputing()

    def _objective(self, step: Step) -> Objective:
        ramp = self.task.plan.attack_ramp
        if ramp is None or not self.objective.adversarial:
            return self.objective
        return with_attack_steps(self.objective, ramp, step.progress)

    def _make_room(self, batch: int, step: Step, said: str) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        done = self.at_once.halve(self._half, batch)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        _log.warning("out of memory at step %d (%s): %s", step.number, said, done)


_Pass = tuple[Tensor, Tensor | None, Tensor | None]  # mean loss (1,), predictions (b,), share met
