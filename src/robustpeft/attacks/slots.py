"""How does one search run over many images at the full width of the machine, without waiting for the slowest?

There is one batch of fixed width. Each of its slots holds an image in a run of its own, at a pass of its own. An image
that is broken, and confirmed by the judge, leaves at once, and the next takes its slot; slots that nobody needs any
more mirror one that is needed, so every pass has one shape. Rows of one shape do not influence each other, so what
happens to an image does not depend on its company; whatever computes with images here has that shape for this reason.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robustpeft.attacks.containment import check_within
from robustpeft.attacks.evaluation import Health, evaluate
from robustpeft.attacks.jobs import Claim, Found, Job, Work
from robustpeft.attacks.losses import find_loss, margin
from robustpeft.attacks.search import State, holds
from robustpeft.attacks.target import Target
from robustpeft.types import Noise

__all__ = ["Slots"]


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
        self.health.classes = self.work.classes  # the judge has seen every image clean, and with it the label
        self._course = self.work.search.course(self.work.classes)
        self._loss = None if self._course.loss is None else find_loss(self._course.loss)
        self._slots: list[Job | None] = [None] * self.work.width
        self._mirrors = list(range(self.work.width))  # the slot whose job each slot carries: its own, if it has one
        self._target: Target | None = None
        self._state: State | None = None
        self._ids = torch.zeros(0, dtype=torch.int64)
        self._back: list[Job] = []  # jobs that go on: refuted claims, next runs
        self._claims: list[Claim] = []
        self._phase = 0  # of the passes that come with and without gradient, where a search has both

    def run(self, after_pass: Callable[[], None] | None = None) -> None:
        """Work until nothing is left; `after_pass` is called between passes, when `unfinished` may be asked.

        Raises:
            UserError: As soon as a logit or a gradient is not finite, before anything of that pass is reported.
        """
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
        come: dict[int, Job] = {}
        for slot in [slot for slot, job in enumerate(self._slots) if job is None]:
            job = self._next(alone=not come and not any(self._slots))
            if job is None:
                break
            come[slot] = job
        if come:
            self._seat(come)
        self._mirror(seated=bool(come))

    def _next(self, *, alone: bool) -> Job | None:
        """Return the next job that is in step with the others: they take their gradients in the same passes."""
        every = self._course.every
        if every > 1 and not self._back and (alone or self._phase == 0):
            self._back.extend(job for job in [next(self.jobs, None)] if job is not None)
        for place, job in enumerate(self._back):
            if alone:
                self._phase = job.passes % every
            if job.passes % every == self._phase:
                return self._back.pop(place)
        return next(self.jobs, None) if every == 1 else None

    def _seat(self, come: Mapping[int, Job]) -> None:
        jobs = list(come.values())
        device = jobs[0].image.device
        index = torch.tensor(list(come), device=device)
        ids = torch.tensor([job.id for job in jobs], device=device)
        rows = Target(
            torch.stack([job.image for job in jobs]),
            torch.tensor([job.label for job in jobs], device=device),
            self.work.threat,
            self._noise(ids, [0] * len(jobs), [0] * len(jobs)),
            torch.stack([job.clean for job in jobs]).to(device),
        )
        if self._target is None:  # all slots are free, the first ones are filled
            self._mirrors = [slot % len(jobs) for slot in range(self.work.width)]
            padding = torch.tensor(self._mirrors, device=device)
            self._target, self._ids = rows.take(padding), ids[padding]
        else:
            self._target, self._ids = self._target.put(index, rows), self._ids.index_copy(0, index, ids)
        for slot, job in come.items():
            self._slots[slot] = job
            self._mirrors[slot] = slot
        runs = [job.run if job else 0 for job in (self._slots[source] for source in self._mirrors)]
        noise = self._noise(self._ids, runs, [0] * self.work.width)
        fresh: State = self.work.search.init(dataclasses.replace(self._target, noise=noise))
        state = fresh if self._state is None else self._state.put(index, fresh.take(index))
        for slot, job in come.items():
            if job.state is not None:
                state = state.put(torch.tensor([slot], device=device), job.state)
                job.state = None
        self._state = state

    def _mirror(self, *, seated: bool) -> None:
        """Let the slots without a job carry the same as one with a job: nothing happens there that happens nowhere."""
        active = next((slot for slot, job in enumerate(self._slots) if job is not None), None)
        if active is None or self._target is None or self._state is None:
            return
        mirrors = [active if job is None else slot for slot, job in enumerate(self._slots)]
        if mirrors != self._mirrors or (seated and None in self._slots):
            index = torch.tensor(mirrors, device=self._ids.device)
            self._target, self._state, self._ids = self._target.take(index), self._state.take(index), self._ids[index]
            self._mirrors = mirrors

    def _noise(self, ids: Tensor, runs: Sequence[int], passes: Sequence[int]) -> Noise:
        return Noise(self.work.seed, ids, self.work.stream, tuple(runs), tuple(passes))

    def _pass(self) -> None:
        assert self._target is not None
        assert self._state is not None
        start = time.perf_counter()
        search, course = self.work.search, self._course
        carried = [job for job in (self._slots[source] for source in self._mirrors) if job is not None]
        runs, passes = [job.run for job in carried], [job.passes for job in carried]
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
            # A search may tell a pass without gradient from one with; only where all runs end does it not matter.
            backward=any(
                course.needs_gradient(job.passes) or (course.every == 1 and job.passes < course.passes - 1)
                for job in carried
            ),
        )
        self._state = search.update(here, self._state, reply.labels_alone() if course.labels_only else reply)
        after = here.at(tuple(runs), tuple(number + 1 for number in passes))
        points, (wrong, margins, done) = self._look(after, reply.points, reply.logits)
        active = [(slot, job) for slot, job in enumerate(self._slots) if job is not None]
        seconds = (time.perf_counter() - start) / len(active)
        self.passes += 1
        self._phase = (self._phase + 1) % course.every
        self.idle += self.work.width - len(active)
        ended: list[Found] = []
        for slot, job in active:
            job.forwards += course.samples
            job.backwards += course.samples if course.needs_gradient(job.passes) else 0
            job.passes += 1
            job.seconds += seconds
            over = job.passes == course.passes or bool(done[slot])
            if over if course.unseen_end else wrong[slot]:
                index = torch.tensor([slot], device=points.device)
                self._claims.append(Claim(job, points[slot].clone(), self._state.take(index), over))
                self._slots[slot] = None
                continue
            if not course.unseen_end:
                job.best = max(job.best, margins[slot])
            if over:
                self._slots[slot] = None
                ended.append(self._held(job))
        if ended:
            self.report(ended)

    def _look(self, here: Target, points: Tensor, logits: Tensor) -> tuple[Tensor, list[list[float]]]:
        """Return points, and for all slots: wrong there (1) or not (0), by how much, and is the run over (1) or not.

        `here` is after the pass, in which an end nobody has seen is drawn.
        """
        assert self._state is not None
        margins = margin(logits, here.labels)
        wrong = logits.argmax(dim=1) != here.labels
        if not self._course.inside:
            within = holds(here, points)
            wrong &= within
            margins = torch.where(within, margins, -torch.inf)
        done = self._state.done if self._state.done is not None else wrong.new_zeros(len(wrong))
        if self._course.unseen_end:
            points = self.work.search.propose(here, self._state).points
        ill = self.health.ailment.float().expand(len(margins))
        told = torch.stack([wrong, margins, done, ill]).cpu().tolist()  # the only wait for the device in a pass
        if any(told.pop()):
            self.health.settle()  # raises
        return points, told

    def _judge(self) -> None:
        """Ask about the first claims, one batch of them; refuted ones go on where they were."""
        asked, self._claims = self._claims[: self.work.width], self._claims[self.work.width :]
        start = time.perf_counter()
        padded = [asked[place % len(asked)] for place in range(self.work.width)]
        points = torch.stack([claim.point for claim in padded])
        images = torch.stack([claim.job.image for claim in padded])
        check_within(points, images, self.work.threat, type(self.work.search).__name__)
        verdict = self.work.judge(points[: len(asked)], torch.tensor([claim.job.label for claim in asked]))
        sizes = self.work.threat.size(points.double() - images.double())[: len(asked)].tolist()
        seconds = (time.perf_counter() - start) / len(asked)
        ended = []
        for claim, prediction, here, size in zip(
            asked, verdict.predictions.tolist(), verdict.margins.tolist(), sizes, strict=True
        ):
            job = claim.job
            job.forwards += 1
            job.seconds += seconds
            if prediction != job.label:
                row = dataclasses.replace(
                    job.row(self.work.stage),
                    broken=True,
                    step=job.passes,
                    prediction=prediction,
                    margin=here,
                    norm=size,
                )
                ended.append(Found(row, claim.point))
                continue
            job.best = max(job.best, here)
            if claim.over:
                ended.append(self._held(job))
            else:
                self._back.append(dataclasses.replace(job, state=claim.state))
        if ended:
            self.report(ended)

    def _held(self, job: Job) -> Found:
        if job.run + 1 < self._course.runs:
            self._back.append(Job(job.image, job.label, job.id, job.clean, run=job.run + 1))
        return Found(job.row(self.work.stage), None)
