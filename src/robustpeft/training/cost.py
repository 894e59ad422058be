"""What will tuning cost? A few real steps are measured, at the full epsilon, and the model is put back as it was."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice

import torch
from torch import Tensor

from robustpeft.training.memory import AtOnce
from robustpeft.training.optimizers import optimizer_state
from robustpeft.training.processes import Processes
from robustpeft.training.protocols import classifier
from robustpeft.training.stepper import Step, Stepper
from robustpeft.training.task import Task
from robustpeft.types import Batch, attack_view, derive_seed

__all__ = ["Cost", "SavedBytes", "measure_cost"]


@dataclass(frozen=True)
class Cost:
    """What tuning will cost, extrapolated from a few steps.

    Args:
        parameters: Of the whole model, head and adapter included.
        trained: Trained parameters, head included.
        trained_head: Those of them in the head.
        steps: Steps in all phases.
        step_seconds: Mean of the measured steps.
        validation_seconds: One look at the validation images.
        seconds: All steps and all looks.
        memory_bytes: Peak of a step at the plan's batch size: on CUDA as allocated there; elsewhere the tensors saved
            for backward passes at one time, and weights, gradients and the optimiser's state. Short-lived tensors of a
            forward come on top of the latter.
        memory_is_measured: Whether it is CUDA's own count.
        disk_bytes: Two checkpoints and the adapter.
        micro_batch_size: Images at once in the parameter pass, if memory ran out or the plan says so; else None.
    """

    parameters: int
    trained: int
    trained_head: int
    steps: int
    step_seconds: float
    validation_seconds: float
    seconds: float
    memory_bytes: int
    memory_is_measured: bool
    disk_bytes: int
    micro_batch_size: int | None


class SavedBytes:
    """Counts the bytes that autograd holds for backward passes; storage that was there before does not count.

    Args:
        there: Tensors whose storage is not counted, such as parameters.
    """

    def __init__(self, there: Iterator[Tensor]) -> None:
        self._there = {t.untyped_storage().data_ptr() for t in there}
        self._holders: Counter[int] = Counter()
        self.now = self.peak = 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Within the context everything that is saved is counted."""
        with torch.autograd.graph.saved_tensors_hooks(self._pack, lambda held: held.tensor):
            yield

    def take(self, tensor: Tensor) -> tuple[int, int]:
        """Count one more holder of this tensor's storage, and return what `release` needs."""
        storage = tensor.untyped_storage()
        key, size = storage.data_ptr(), storage.nbytes()
        if not self._holders[key]:
            self.now += size
            self.peak = max(self.peak, self.now)
        self._holders[key] += 1
        return key, size

    def release(self, key: int, size: int) -> None:
        """Count one holder less."""
        self._holders[key] -= 1
        if not self._holders[key]:
            del self._holders[key]
            self.now -= size

    def _pack(self, tensor: Tensor) -> _Held:
        return _Held(tensor, None if tensor.untyped_storage().data_ptr() in self._there else self)


class _Held:
    """A saved tensor; autograd drops it when its backward is done, or was never needed."""

    def __init__(self, tensor: Tensor, counter: SavedBytes | None) -> None:
        self.tensor, self._counter = tensor, counter
        self._key = counter.take(tensor) if counter else (0, 0)

    def __del__(self) -> None:
        if self._counter is not None:
            self._counter.release(*self._key)


def measure_cost(task: Task, *, steps: int = 3) -> Cost:
    """Return what `fit` of this task will cost; nothing is written, and the trained weights are what they were.

    Args:
        task: What would be tuned.
        steps: Steps that are timed, after one in which memory is measured.

    Cost:
        `steps` + 1 steps and one batch of validation.
    """
    parameters = task.tunable.named_parameters()
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    try:
        with torch.random.fork_rng():
            return _measure(task, steps)
    finally:
        task.tunable.train(False)
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(before[name])
                parameter.grad = None
                parameter.requires_grad_(True)


def _measure(task: Task, steps: int) -> Cost:
    plan, parameters = task.plan, task.tunable.named_parameters()
    phase = plan.phases()[-1]
    per_epoch = math.ceil(len(task.train) / plan.batch_size)
    stepper = Stepper(task, phase, AtOnce(plan.micro_batch_size), Processes())
    task.tunable.train(True)
    seed = derive_seed(task.seed, "epoch", 1)
    some = islice(task.train.batches(plan.batch_size, shuffle_seed=seed, augment=task.augment), steps + 1)
    batches = cycle(list(some))
    last = phase.epochs * per_epoch  # at the end of the schedules: full epsilon, all steps of the attack
    memory, measured = _memory(stepper, next(batches), Step(0, last - 1, last), task)
    _wait(stepper.device)
    started = time.perf_counter()
    for number in range(1, steps + 1):
        stepper.step(next(batches), Step(number, last - 1, last))
    _wait(stepper.device)
    step_seconds = (time.perf_counter() - started) / steps
    task.tunable.train(False)
    look = _validation_seconds(task, stepper.device)
    looks = len(plan.before) + sum(plan.validates_after(epoch) for epoch in range(1, plan.epochs + 1))
    adapter = sum(p.numel() * p.element_size() for p in parameters.values())
    state = optimizer_state(stepper.optimizer, {p: name for name, p in parameters.items()})
    in_optimizer = sum(value.numel() * value.element_size() for value in state.values())
    checkpoint = adapter * (2 + bool(plan.averaging)) + in_optimizer
    return Cost(
        parameters=sum(p.numel() for p in task.tunable.model.parameters()),
        trained=sum(p.numel() for p in parameters.values()),
        trained_head=sum(p.numel() for name, p in parameters.items() if task.tunable.is_head(name)),
        steps=plan.all_epochs * per_epoch,
        step_seconds=step_seconds,
        validation_seconds=look,
        seconds=plan.all_epochs * per_epoch * step_seconds + looks * look,
        memory_bytes=memory if measured else memory + adapter + in_optimizer + _weight_bytes(task),
        memory_is_measured=measured,
        disk_bytes=2 * checkpoint + adapter,
        micro_batch_size=stepper.at_once.parameters,
    )


def _memory(stepper: Stepper, batch: Batch, step: Step, task: Task) -> tuple[int, bool]:
    """Return the peak of one step in bytes, and whether it is the device's own count."""
    if stepper.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(stepper.device)
        stepper.step(batch, step)
        return torch.cuda.max_memory_allocated(stepper.device), True
    counter = SavedBytes(iter([*task.tunable.model.parameters(), *task.tunable.model.buffers()]))
    with counter.counting():
        stepper.step(batch, step)
    return counter.peak, False


def _weight_bytes(task: Task) -> int:
    model = task.tunable.model
    return sum(t.numel() * t.element_size() for t in [*model.parameters(), *model.buffers()])


def _validation_seconds(task: Task, device: torch.device) -> float:
    """Return the time of one look at the validation images, from one batch of them."""
    size = task.plan.validation_batch_size or task.plan.batch_size
    batch = next(iter(task.validation.batches(size, device=device)))
    model = classifier(task.tunable)
    started = time.perf_counter()
    with torch.no_grad():
        attack_view(model)(batch.images)
    if task.objective.adversarial:
        task.plan.selection_attack(model, batch.images, batch.labels, task.threat, seed=0, ids=batch.ids)
    _wait(device)
    return (time.perf_counter() - started) * len(task.validation) / len(batch.labels)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
