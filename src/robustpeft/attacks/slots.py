"""How does one search run over many images at the full width of the machine, without waiting for the slowest?

There is one batch of fixed width. Each of its slots holds an image in a run of its own, at a pass of its own. An image
that is broken, and confirmed by the judge, leaves at once, and the next takes its slot; slots that nobody needs any
more are carried along, so every pass has one shape. Rows of one shape do not influence each other, so what happens to
an image does not depend on its company.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from robustpeft.attacks.containment import check_within
from robustpeft.attacks.evaluation import Health, evaluate
from robustpeft.attacks.judge import Judge
from robustpeft.attacks.losses import find_loss, margin
from robustpeft.attacks.search import Search, State, holds
from robustpeft.attacks.target import Target
from robustpeft.records import LedgerRow
from robustpeft.types import Classifier, Noise, Threat

__all__ = ["Found", "Job", "Slots", "Work"]


@dataclass
class Job:
    """One image in one run, and what was spent on it so far.

    Args:
        image: Float32 (3, h, w), clean, where the model lies.
        label: True class.
        id: The image's id.
        clean: Logits (k,) of the clean image, on the CPU.
        run: Of the search.
        passes: Done in this run.
        forwards: Spent in this run.
        backwards: Likewise.
        seconds: Likewise.
        best: Largest margin seen in this run, the clean image's to begin with.
        state: A state to go on from, one row; None to begin.
    """

    image: Tensor
    label: int
    id: int
    clean: Tensor
    run: int = 0
    passes: int = 0
    forwards: int = 0
    backwards: int = 0
    seconds: float = 0.0
    best: float = -math.inf
    state: State | None = None

    def __post_init__(self) -> None:
        if not self.passes:
            self.best = float(margin(self.clean[None], torch.tensor([self.label])))


@dataclass(frozen=True)
class Found:
    """A run that has ended.

    Args:
        row: What the ledger keeps.
        point: Float32 (3, h, w), the image that broke the model; None if the run found nothing.
    """

    row: LedgerRow
    point: Tensor | None


@dataclass(frozen=True)
class Work:
    """What stays the same for all images of a stage.

    Args:
        view: What is attacked.
        judge: Who decides.
        search: The search.
        stream: Name of the chance it uses.
        stage: Key in the ledger.
        threat: Norm and epsilon.
        seed: Of all randomness.
        classes: Of the model.
        width: Slots.
    """

    view: Classifier
    judge: Judge
    search: Search[Any]
    stream: str
    stage: str
    threat: Threat
    seed: int
    classes: int
    width: int


@dataclass(frozen=True)
class _Claim:
    job: Job
    point: Tensor
    state: State


@dataclass
class Slots:
    """The batch of one stage.

    Args:
        work: What is done.
        jobs: The images that are to come; asked for the next one only when a slot is free.
        report: Called with the runs that have ended, in no particular order.

    Attributes:
        passes: Passes of the whole batch so far.
        idle: Slots that were carried along without an image, summed over the passes.
    """

    work: Work
    jobs: Iterator[Job]
    report: Callable[[Sequence[Found]], None]
    passes: int = 0
    idle: int = 0
    health: Health = field(default_factory=Health)

    def __post_init__(self) -> None:
        self._course = self.work.search.course(self.work.classes)
        self._loss = None if self._course.loss is None else find_loss(self._course.loss)
        self._slots: list[Job | None] = [None] * self.work.width
        self._target: Target | None = None
        self._state: State | None = None
        self._ids = torch.zeros(0, dtype=torch.int64)
        self._back: list[Job] = []  # jobs that go on: refuted claims, next runs
        self._claims: list[_Claim] = []

    def run(self, after_pass: Callable[[], None] | None = None) -> None:
        """Work until nothing is left; `after_pass` is called between passes, when `unfinished` may be asked."""
        while True:
            self._fill()
            if any(self._slots):
                self._pass()
                if len(self._claims) >= self.work.width:
                    self._judge()
            elif self._claims:
                self._judge()
            else:
                break
            if after_pass is not None:
                after_pass()
        self.health.settle()

    def unfinished(self) -> list[Job]:
        """Return every job that is under way, with its state; claims are judged first."""
        while self._claims:
            self._judge()
        here = [
            dataclasses.replace(job, state=self._state.take(torch.tensor([slot], device=self._ids.device)))
            for slot, job in enumerate(self._slots)
            if job is not None and self._state is not None
        ]
        return [*here, *self._back]

    def _fill(self) -> None:
        free = [slot for slot, job in enumerate(self._slots) if job is None]
        come: list[tuple[int, Job]] = []
        for slot in free:
            job = self._back.pop(0) if self._back else next(self.jobs, None)
            if job is None:
                break
            come.append((slot, job))
        if come:
            self._seat([slot for slot, _ in come], [job for _, job in come])

    def _seat(self, slots: list[int], jobs: list[Job]) -> None:
        device = jobs[0].image.device
        target = Target(
            torch.stack([job.image for job in jobs]),
            torch.tensor([job.label for job in jobs], device=device),
            self.work.threat,
            self._noise(torch.tensor([job.id for job in jobs], device=device), [job.run for job in jobs], 0),
            torch.stack([job.clean for job in jobs]).to(device),
        )
        state: State = self.work.search.init(target)
        for row, job in enumerate(jobs):
            if job.state is not None:
                state = state.put(torch.tensor([row], device=device), job.state)
                job.state = None
        ids = target.noise.ids
        if self._target is None or self._state is None:  # the empty slots copy images that are there
            padding = torch.arange(self.work.width, device=device) % len(jobs)
            self._target, self._state, self._ids = target.take(padding), state.take(padding), ids[padding]
        else:
            index = torch.tensor(slots, device=device)
            self._target, self._state = self._target.put(index, target), self._state.put(index, state)
            self._ids = self._ids.index_copy(0, index, ids)
        for slot, job in zip(slots, jobs, strict=True):
            self._slots[slot] = job

    def _noise(self, ids: Tensor, runs: Sequence[int], passes: int | Sequence[int]) -> Noise:
        steps = passes if isinstance(passes, int) else tuple(passes)
        return Noise(self.work.seed, ids, self.work.stream, tuple(runs), steps)

    def _pass(self) -> None:
        assert self._target is not None
        assert self._state is not None
        start = time.perf_counter()
        search, course = self.work.search, self._course
        runs = [job.run if job else 0 for job in self._slots]
        passes = [job.passes if job else 0 for job in self._slots]
        here = dataclasses.replace(self._target, noise=self._noise(self._ids, runs, passes))
        query = search.propose(here, self._state)
        reply = evaluate(
            self.work.view,
            query.points,
            here.labels,
            self._loss if course.gradients else None,
            targets=query.targets,
            samples=course.samples,
            health=self.health,
        )
        self._state = search.update(here, self._state, reply)
        points, wrong, margins, done = self._look(here, reply.points, reply.logits)
        active = [slot for slot, job in enumerate(self._slots) if job is not None]
        seconds = (time.perf_counter() - start) / len(active)
        self.passes += 1
        self.idle += self.work.width - len(active)
        ended: list[Found] = []
        for slot in active:
            job = self._slots[slot]
            assert job is not None
            job.passes += 1
            job.forwards += course.samples
            job.backwards += course.samples if course.gradients else 0
            job.seconds += seconds
            over = job.passes == course.passes or done[slot]
            if not course.unseen_end:
                job.best = max(job.best, margins[slot])
            if over if course.unseen_end else wrong[slot]:
                index = torch.tensor([slot], device=points.device)
                self._claims.append(_Claim(job, points[slot].clone(), self._state.take(index)))
                self._slots[slot] = None
            elif over:
                self._slots[slot] = None
                ended.append(self._held(job))
        if ended:
            self.report(ended)

    def _look(self, here: Target, points: Tensor, logits: Tensor) -> tuple[Tensor, list[bool], list[float], list[bool]]:
        """Return points, and for each slot if it is wrong there, by how much, and if its run has nothing left to do."""
        assert self._state is not None
        margins = margin(logits, here.labels)
        wrong = logits.argmax(dim=1) != here.labels
        if not self._course.inside:
            within = holds(here, points)
            wrong &= within
            margins = torch.where(within, margins, -torch.inf)
        done = self._state.done if self._state.done is not None else torch.zeros_like(wrong)
        if self._course.unseen_end:
            points = self.work.search.propose(here, self._state).points
        told = torch.stack([wrong.float(), margins, done.float()]).cpu()  # the only wait for the device in a pass
        return points, told[0].bool().tolist(), told[1].tolist(), told[2].bool().tolist()

    def _judge(self) -> None:
        """Ask about the first claims, one batch of them; refuted ones go on where they were."""
        asked, self._claims = self._claims[: self.work.width], self._claims[self.work.width :]
        points = torch.stack([claim.point for claim in asked])
        images = torch.stack([claim.job.image for claim in asked])
        check_within(points, images, self.work.threat, type(self.work.search).__name__)
        verdict = self.work.judge(points, torch.tensor([claim.job.label for claim in asked]))
        sizes = self.work.threat.size(points.double() - images.double()).tolist()
        ended = []
        for row, claim in enumerate(asked):
            job = claim.job
            job.forwards += 1
            prediction, margin_here = int(verdict.predictions[row]), float(verdict.margins[row])
            if prediction != job.label:
                ended.append(Found(self._row(job, True, prediction, margin_here, sizes[row]), claim.point))
            elif self._course.unseen_end or job.passes == self._course.passes:
                job.best = max(job.best, margin_here) if self._course.unseen_end else job.best
                ended.append(self._held(job))
            else:
                self._back.append(dataclasses.replace(job, state=claim.state))
        if ended:
            self.report(ended)

    def _held(self, job: Job) -> Found:
        if job.run + 1 < self._course.runs:
            self._back.append(Job(job.image, job.label, job.id, job.clean, run=job.run + 1))
        return Found(self._row(job, False, int(job.clean.argmax()), job.best, 0.0), None)

    def _row(self, job: Job, broken: bool, prediction: int, margin_there: float, norm: float) -> LedgerRow:
        return LedgerRow(
            image=job.id,
            stage=self.work.stage,
            run=job.run,
            broken=broken,
            step=job.passes if broken else 0,
            prediction=prediction,
            margin=margin_there,
            norm=norm,
            forwards=job.forwards,
            backwards=job.backwards,
            seconds=round(job.seconds, 6),
        )
