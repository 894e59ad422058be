"""In which order do steps, looks at the validation images and checkpoints follow each other?"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from robustpeft.errors import UserError
from robustpeft.objectives import Look, catastrophic
from robustpeft.training.averaging import Average
from robustpeft.training.checkpoint import Checkpoint, Counters, load_checkpoint, save_checkpoint
from robustpeft.training.memory import AtOnce
from robustpeft.training.metrics import Metrics
from robustpeft.training.optimizers import load_optimizer_state, optimizer_state
from robustpeft.training.phases import Phase
from robustpeft.training.processes import Processes
from robustpeft.training.protocols import Observer, Progress
from robustpeft.training.stepper import NotFiniteError, Step, Stepper
from robustpeft.training.task import Task
from robustpeft.training.validation import Scores, validate
from robustpeft.training.watch import CollapseWatch, keep_batch
from robustpeft.types import Batch, derive_seed

__all__ = ["Loop"]

_log = logging.getLogger(__name__)


class Loop:
    """One run: all that changes while it goes on, from the first step or from a checkpoint.

    Args:
        task: What to do.
        directory: For metrics and checkpoints.
        resume: Go on from the last checkpoint.
        observer: Who is told.
    """

    def __init__(self, task: Task, directory: Path, resume: bool, observer: Observer | None) -> None:
        self.task, self.plan, self.observer, self.directory = task, task.plan, observer, directory
        self.checkpoints = directory / "checkpoints"
        self.processes = Processes()
        self.parameters = task.tunable.named_parameters()
        self.device = next(iter(self.parameters.values())).device
        self.steps_per_epoch = math.ceil(len(task.train) / self.plan.batch_size)
        self.steps = self.steps_per_epoch * self.plan.all_epochs
        self.counters = Counters(plan=task.digest())
        self.best: dict[str, Tensor] = {}
        self.scores: Scores | None = None
        found = load_checkpoint(self.checkpoints) if resume else None
        if found is not None:
            self._check(found)
            self.counters = found.counters
        remembered = self.counters.at_once or self.plan.micro_batch_size
        self.at_once = AtOnce(remembered, self.counters.attack_at_once or None)
        self._begin(found)
        self.metrics = Metrics(directory, self.counters.step) if self.processes.is_first else None
        self.watch, self.met = CollapseWatch(), list[Tensor]()
        self.started, self.steps_before = time.perf_counter(), self.counters.step

    def run(self) -> None:
        """Do all that is left to do."""
        while self.counters.epoch < self.plan.all_epochs and not self.counters.stopped:
            epoch = self.counters.epoch + 1
            if epoch > self.last_epoch:
                self._begin(None)
                self.met.clear()
            mean_loss = self._epoch(epoch)
            values: dict[str, float | int | str] = {
                "epoch": epoch,
                "loss": mean_loss,
                "epsilon": self.stepper.threat(self._now()).epsilon,
            }
            if self.plan.before:
                values["phase"] = self.phase.title
            if self._validates_after(epoch):
                values |= self._validate(epoch)
                self._report(epoch, mean_loss)
            self._finish(epoch, values)
        self.processes.wait()

    def keep_best(self) -> Scores:
        """Put the best weights into the model, and return how good they were."""
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(self.best[name])
        self.task.tunable.train(False)
        n = self.scores.n if self.scores else len(self.task.validation)
        return Scores(n, self.counters.best_clean, self.counters.best_robust, 0)

    def close(self) -> None:
        """Leave everything trainable, and the files closed."""
        for parameter in self.parameters.values():
            parameter.requires_grad_(True)
        if self.metrics is not None:
            self.metrics.close()
        self.processes.close()

    def _begin(self, found: Checkpoint | None) -> None:
        """Enter the phase of the next epoch; with a checkpoint, where it stood in it."""
        self.phase, self.first_epoch, self.last_epoch = _phase_of(self.plan.phases(), self.counters.epoch + 1)
        if found is not None:
            with torch.no_grad():
                for name, value in found.of("weights").items():
                    self.parameters[name].copy_(value)
            self.best = {n: v.to(self.device) for n, v in found.of("best").items()}
        self.stepper = Stepper(self.task, self.phase, self.at_once, self.processes)
        self.average = Average(self.parameters, self.plan.averaging if self.is_main else 0.0)
        if found is not None and self.counters.epoch >= self.first_epoch:
            load_optimizer_state(self.stepper.optimizer, self.parameters, found.of("optimizer"))
            self.average.values = {n: v.to(self.device) for n, v in found.of("average").items()}
            if self.stepper.companion is not None:
                self.stepper.companion.load_state(found.of("companion"))

    @property
    def is_main(self) -> bool:
        """Whether this is the main phase, whose epochs may be kept."""
        return self.last_epoch == self.plan.all_epochs

    def _now(self) -> Step:
        steps = self.phase.epochs * self.steps_per_epoch
        return Step(self.counters.step, self.counters.step - (self.first_epoch - 1) * self.steps_per_epoch, steps)

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
        now = self._now()
        try:
            taken = self.stepper.step(batch, now)
        except NotFiniteError as error:
            kept = f"; the batch is kept in {keep_batch(batch, self.directory)}" if self.processes.is_first else ""
            raise NotFiniteError(
                f"{error} (image ids {batch.ids[:8].tolist()}, ...){kept}; lower training.learning_rate or lengthen "
                "training.epsilon_ramp; the last checkpoint is kept"
            ) from error
        if self.processes.is_first:
            self.watch.see(taken.predicted, self.processes.mine(batch.labels).to(self.device), now.number + 1)
        if taken.met is not None:
            self.met.append(taken.met)
        self.counters = replace(self.counters, step=now.number + 1)
        self.average.update(now.done + 1)
        return taken.loss

    def _validates_after(self, epoch: int) -> bool:
        """Return whether the validation images are looked at: once after each phase before, as planned in the main."""
        return self.plan.validates_after(epoch - self.first_epoch + 1) if self.is_main else epoch == self.last_epoch

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
        if self.is_main:
            self._select(epoch, scores)
            self._look(epoch, scores)
        values = {"clean_accuracy": scores.clean / scores.n}
        if attack is not None:
            values["robust_accuracy"] = scores.robust / scores.n
        return values

    def _select(self, epoch: int, scores: Scores) -> None:
        """Keep the weights if they are the best so far: robust first, then clean, then the earlier epoch."""
        better = (scores.robust, scores.clean) > (self.counters.best_robust, self.counters.best_clean)
        if not self.best or (better and not scores.collapsed):
            self.best = self.average.snapshot()
            self.counters = replace(
                self.counters,
                best_epoch=epoch,
                best_clean=scores.clean,
                best_robust=scores.robust,
                best_collapsed=scores.collapsed,
                stale=0,
            )
            return
        stale = self.counters.stale + 1
        stopped = self.plan.patience is not None and stale >= self.plan.patience
        self.counters = replace(self.counters, stale=stale, stopped=stopped)
        if stopped and epoch < self.plan.all_epochs:
            _log.info("stopped after epoch %d: nothing better since epoch %d", epoch, self.counters.best_epoch)

    def _look(self, epoch: int, scores: Scores) -> None:
        """Say it if the adversary of training is met with ease while the one of selection wins."""
        if not self.met:
            return
        look = Look(epoch, float(torch.stack(self.met).mean()), scores.robust / scores.n)
        self.met.clear()
        self.counters = replace(self.counters, looks=(*self.counters.looks, (look.epoch, look.trained, look.robust)))
        if sentence := catastrophic([Look(*entry) for entry in self.counters.looks]):
            _log.warning(sentence)

    def _finish(self, epoch: int, values: dict[str, float | int | str]) -> None:
        """Close an epoch: its line of metrics, then its checkpoint."""
        self.counters = replace(
            self.counters,
            epoch=epoch,
            seconds=self.counters.seconds + time.perf_counter() - self.started,
            at_once=self.at_once.parameters or 0,
            attack_at_once=self.at_once.attack or 0,
        )
        self.started, self.steps_before = time.perf_counter(), self.counters.step
        if self.metrics is not None:
            self.metrics.write(self.counters.step, values)
            save_checkpoint(self._checkpoint(), self.checkpoints)

    def _checkpoint(self) -> Checkpoint:
        names: dict[Tensor, str] = {parameter: name for name, parameter in self.parameters.items()}
        kinds = {
            "weights": {name: p.detach() for name, p in self.parameters.items()},
            "optimizer": optimizer_state(self.stepper.optimizer, names),
            "average": self.average.values,
            "best": self.best,
            "companion": self.stepper.companion.state() if self.stepper.companion else {},
        }
        tensors = {f"{kind}:{name}": tensor for kind, part in kinds.items() for name, tensor in part.items()}
        return Checkpoint(self.counters, tensors)

    def _check(self, checkpoint: Checkpoint) -> None:
        if checkpoint.counters.plan != self.counters.plan:
            raise UserError(
                f"the checkpoint in {self.checkpoints} belongs to another plan (method, objective, threat, training, "
                "seed or data differ); resume with the recipe saved there, or overwrite"
            )

    def _report(self, epoch: int, loss: float) -> None:
        if self.observer is None or not self.processes.is_first:
            return
        spent = max(time.perf_counter() - self.started, 1e-9)
        per_step = spent / max(self.counters.step - self.steps_before, 1)
        scores = self.scores
        self.observer(
            Progress(
                step=self.counters.step,
                steps=self.steps,
                epoch=epoch,
                epochs=self.plan.all_epochs,
                loss=loss,
                epsilon=self.stepper.threat(self._now()).epsilon,
                clean_accuracy=scores.clean / scores.n if scores else None,
                robust_accuracy=scores.robust / scores.n if scores and self.task.objective.adversarial else None,
                images_per_second=self.plan.batch_size / per_step,
                seconds_left=per_step * (self.steps - self.counters.step),
                phase=self.phase.title if self.plan.before else "",
            )
        )


def _phase_of(phases: tuple[Phase, ...], epoch: int) -> tuple[Phase, int, int]:
    """Return the phase of an epoch, counted from 1, with the first and the last of its epochs; the last one beyond."""
    first = 1
    for phase in phases[:-1]:
        if epoch < first + phase.epochs:
            return phase, first, first + phase.epochs - 1
        first += phase.epochs
    return phases[-1], first, first + phases[-1].epochs - 1
