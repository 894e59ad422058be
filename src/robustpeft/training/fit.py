"""How do the parameters move? One plain loop over steps; it never hears which technique or data set it trains."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robustpeft.errors import UserError
from robustpeft.objectives import Objective
from robustpeft.training.averaging import Average
from robustpeft.training.checkpoint import Checkpoint, Counters, load_checkpoint, save_checkpoint
from robustpeft.training.metrics import Metrics
from robustpeft.training.optimizers import build_optimizer, load_optimizer_state, optimizer_state, set_rate
from robustpeft.training.plan import TrainingPlan
from robustpeft.training.processes import Processes
from robustpeft.training.protocols import Observer, Progress, Tunable, classifier
from robustpeft.training.validation import Scores, validate
from robustpeft.types import Batch, Split, Threat, derive_seed

__all__ = ["Fit", "Task", "fit"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """What is to be tuned, on what, against what.

    Args:
        tunable: The model and its trained parameters.
        train: Training images.
        validation: Images on which weights are selected; never the test images.
        objective: What is minimised.
        threat: The adversary at full strength.
        plan: How.
        augment: How training images are varied, as their split understands it; None for not at all.
        seed: Of all randomness.
        identity: What else a resumed run must agree on: the technique, the frozen weights, the images.
    """

    tunable: Tunable
    train: Split
    validation: Split
    objective: Objective
    threat: Threat
    plan: TrainingPlan
    augment: Any = None
    seed: int = 0
    identity: str = ""

    def digest(self) -> str:
        """Return a digest of everything a resumed run must agree on."""
        shapes = [(n, tuple(p.shape)) for n, p in self.tunable.named_parameters().items()]
        said = (
            self.objective,
            self.threat,
            self.plan,
            self.augment,
            self.seed,
            len(self.train),
            len(self.validation),
            shapes,
            self.identity,
        )
        return hashlib.sha256(repr(said).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Fit:
    """What tuning came to; the model holds the best weights.

    Args:
        best_epoch: The epoch whose weights were kept.
        scores: Their counts on the validation images.
        steps: Steps done.
        seconds: Wall time over all sessions.
    """

    best_epoch: int
    scores: Scores
    steps: int
    seconds: float


def fit(task: Task, directory: Path, *, resume: bool = False, observer: Observer | None = None) -> Fit:
    """Tune, keep the weights that were best on the validation images, and return how good they were.

    Args:
        task: What to do.
        directory: For ``metrics.jsonl``, TensorBoard and checkpoints; one checkpoint per epoch.
        resume: Go on from the last checkpoint, to bit-identical weights on one CPU; start anew if there is none.
        observer: Called after every step, and again after every look at the validation images.

    Raises:
        UserError: If the loss is not finite, or a checkpoint belongs to another plan.
    """
    loop = _Loop(task, directory, resume, observer)
    try:
        with torch.random.fork_rng():
            loop.run()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"after {loop.counters.epoch} of {task.plan.epochs} epochs") from None
    finally:
        loop.close()
    return loop.result()


class _Loop:
    def __init__(self, task: Task, directory: Path, resume: bool, observer: Observer | None) -> None:
        self.task, self.plan, self.observer = task, task.plan, observer
        self.checkpoints = directory / "checkpoints"
        self.processes = Processes()
        self.parameters = task.tunable.named_parameters()
        self.device = next(iter(self.parameters.values())).device
        self.optimizer = build_optimizer(task.tunable, self.plan)
        self.average = Average(self.parameters, self.plan.averaging)
        self.counters = Counters(plan=task.digest())
        self.best: dict[str, Tensor] = {}
        if resume and (checkpoint := load_checkpoint(self.checkpoints)):
            self._restore(checkpoint)
        self.metrics = Metrics(directory, self.counters.step) if self.processes.is_first else None
        self.steps_per_epoch = math.ceil(len(task.train) / self.plan.batch_size)
        self.steps = self.steps_per_epoch * self.plan.epochs
        self.scores: Scores | None = None
        self.started, self.steps_before = time.perf_counter(), self.counters.step

    def run(self) -> None:
        for epoch in range(self.counters.epoch + 1, self.plan.epochs + 1):
            mean_loss = self._epoch(epoch)
            values: dict[str, float | int] = {"epoch": epoch, "loss": mean_loss, "epsilon": self._threat().epsilon}
            if self.plan.validates_after(epoch):
                values |= self._validate(epoch)
                self._report(epoch, mean_loss)
            seconds = self.counters.seconds + time.perf_counter() - self.started
            self.started = time.perf_counter()
            self.counters = replace(self.counters, epoch=epoch, seconds=seconds)
            self.steps_before = self.counters.step
            if self.processes.is_first:
                assert self.metrics is not None
                self.metrics.write(self.counters.step, values)
                save_checkpoint(self._checkpoint(), self.checkpoints)
        self.processes.wait()

    def result(self) -> Fit:
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(self.best[name])
        self.task.tunable.train(False)
        scores = self._scores_of_best()
        return Fit(self.counters.best_epoch, scores, self.counters.step, self.counters.seconds)

    def close(self) -> None:
        if self.metrics is not None:
            self.metrics.close()
        self.processes.close()

    def _epoch(self, epoch: int) -> float:
        total, done = 0.0, 0
        seed = derive_seed(self.task.seed, "epoch", epoch)
        self.task.tunable.train(True)
        for batch in self.task.train.batches(self.plan.batch_size, shuffle_seed=seed, augment=self.task.augment):
            loss = self._step(batch)
            total, done = total + loss, done + 1
            self._report(epoch, total / done)
        self.task.tunable.train(False)
        return total / max(done, 1)

    def _step(self, batch: Batch) -> float:
        threat = self._threat()
        step = self.counters.step
        set_rate(self.optimizer, self.plan.rate_factor(step / self.steps))
        images, labels, ids = (self.processes.mine(t).to(self.device) for t in (batch.images, batch.labels, batch.ids))
        seed = derive_seed(self.task.seed, "step", step)
        torch.manual_seed(derive_seed(seed, self.processes.rank))  # for dropout; the global state is put back by `fit`
        self.optimizer.zero_grad(set_to_none=True)
        value = torch.zeros(1, device=self.device)
        share = len(labels) / len(batch.labels)
        if len(labels):
            loss = self.task.objective(classifier(self.task.tunable), images, labels, threat, seed=seed, ids=ids)
            loss.total.backward()  # type: ignore[no-untyped-call]
            value = loss.total.detach().reshape(1) * share
        mean = float(self.processes.sum(value))
        if not math.isfinite(mean):
            raise UserError(
                f"the loss is not finite at step {step} (image ids {batch.ids[:8].tolist()}, ...); "
                "lower training.learning_rate or lengthen training.epsilon_ramp; the last checkpoint is kept"
            )
        trained = list(self.parameters.values())
        self.processes.average_gradients(trained, share)
        if self.plan.clip is not None:
            nn.utils.clip_grad_norm_(trained, self.plan.clip)
        self.optimizer.step()
        self.counters = replace(self.counters, step=step + 1)
        self.average.update(step + 1)
        return mean

    def _threat(self) -> Threat:
        if not self.task.objective.adversarial:
            return self.task.threat.with_epsilon(0.0)
        factor = self.plan.epsilon_ramp.factor(self.counters.step / self.steps)
        return self.task.threat.with_epsilon(self.task.threat.epsilon * factor)

    def _validate(self, epoch: int) -> dict[str, float]:
        attack = self.plan.selection_attack if self.task.objective.adversarial else None
        size = self.plan.validation_batch_size or self.plan.batch_size
        with self.average.in_place():
            scores = validate(self.task.tunable, self.task.validation, attack, self.task.threat, size, self.processes)
        if scores.collapsed:
            _log.warning(
                "epoch %d: %d of %d validation images get the same prediction; the learning rate may be too high or "
                "the epsilon ramp too short",
                epoch,
                scores.most_common,
                scores.n,
            )
        self.scores = scores
        better = (scores.robust, scores.clean) > (self.counters.best_robust, self.counters.best_clean)
        if not self.best or (better and not scores.collapsed):
            self.best = self.average.snapshot()
            self.counters = replace(self.counters, best_epoch=epoch, best_clean=scores.clean, best_robust=scores.robust)
        values = {"clean_accuracy": scores.clean / scores.n}
        if attack is not None:
            values["robust_accuracy"] = scores.robust / scores.n
        return values

    def _scores_of_best(self) -> Scores:
        n = self.scores.n if self.scores else len(self.task.validation)
        return Scores(n, self.counters.best_clean, self.counters.best_robust, 0)

    def _checkpoint(self) -> Checkpoint:
        names: dict[Tensor, str] = {parameter: name for name, parameter in self.parameters.items()}
        kinds = {
            "weights": {name: p.detach() for name, p in self.parameters.items()},
            "optimizer": optimizer_state(self.optimizer, names),
            "average": self.average.values,
            "best": self.best,
        }
        tensors = {f"{kind}:{name}": tensor for kind, part in kinds.items() for name, tensor in part.items()}
        return Checkpoint(self.counters, tensors)

    def _restore(self, checkpoint: Checkpoint) -> None:
        if checkpoint.counters.plan != self.counters.plan:
            raise UserError(
                f"the checkpoint in {self.checkpoints} belongs to another plan (method, objective, threat, training, "
                "seed or data differ); resume with the recipe saved there, or overwrite"
            )
        with torch.no_grad():
            for name, value in checkpoint.of("weights").items():
                self.parameters[name].copy_(value)
        load_optimizer_state(self.optimizer, self.parameters, checkpoint.of("optimizer"))
        self.average.values = {n: v.to(self.device) for n, v in checkpoint.of("average").items()}
        self.best = {n: v.to(self.device) for n, v in checkpoint.of("best").items()}
        self.counters = checkpoint.counters

    def _report(self, epoch: int, loss: float) -> None:
        if self.observer is None or not self.processes.is_first:
            return
        spent = max(time.perf_counter() - self.started, 1e-9)
        done = self.counters.step - self.steps_before
        per_step = spent / max(done, 1)
        scores = self.scores
        self.observer(
            Progress(
                step=self.counters.step,
                steps=self.steps,
                epoch=epoch,
                epochs=self.plan.epochs,
                loss=loss,
                epsilon=self._threat().epsilon,
                clean_accuracy=scores.clean / scores.n if scores else None,
                robust_accuracy=scores.robust / scores.n if scores and self.task.objective.adversarial else None,
                images_per_second=self.plan.batch_size / per_step,
                seconds_left=per_step * (self.steps - self.counters.step),
            )
        )
