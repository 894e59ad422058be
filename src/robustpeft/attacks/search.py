"""What is one search? Pure functions of per-image state: where to begin, where to look next, what to learn from it.

A search never sees a model. Whoever runs it (`Search.search` in one batch, the driver in slots) evaluates what it
proposes and hands back the reply; so the same search runs image by image in any company, and can be stopped and resumed
at every pass.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, final

import torch
from torch import Tensor

from robustpeft.attacks.base import Attack
from robustpeft.attacks.evaluation import Health, Reply, evaluate
from robustpeft.attacks.losses import find_loss, margin
from robustpeft.attacks.rows import Rows, row_where
from robustpeft.attacks.target import Target
from robustpeft.types import Classifier

__all__ = ["Course", "Query", "Search", "State"]


@dataclass(frozen=True)
class Course:
    """What a runner must know of a search before it begins.

    Args:
        passes: The most passes of one run.
        runs: Independent runs (restarts, target classes), one after the other until one succeeds.
        gradients: The first so many passes of a run need the gradient of the loss, the others logits alone.
        every: Of these, only every so many, the first of them too; what it is told of the others must not matter.
        loss: Name of what is increased; None if no pass needs a gradient.
        samples: Answers averaged in each pass, for models that answer at random.
        needs_clean: The target must hold the logits of the clean images.
        inside: It looks only within the threat; if not, what lies outside does not count as found.
        labels_only: It is told the predicted class and nothing else: the logits of a reply are 1 there and 0 elsewhere.
        unseen_end: Where the run ends is its answer, and nobody has looked there; otherwise the best point seen is.
    """

    passes: int
    runs: int = 1
    gradients: int = 0
    every: int = 1
    loss: str | None = None
    samples: int = 1
    needs_clean: bool = False
    inside: bool = True
    labels_only: bool = False
    unseen_end: bool = False

    def needs_gradient(self, passes: int) -> bool:
        """Return whether the pass after so many of a run needs the gradient of the loss."""
        return passes < self.gradients and passes % self.every == 0


@dataclass(frozen=True, kw_only=True)
class State(Rows):
    """What a search knows of each image; every search has its own.

    Args:
        step: Int64 (b,), passes done in this run.
        done: Bool (b,): the run has nothing left to look at; None if all runs are of one length.
    """

    step: Tensor
    done: Tensor | None = None


@dataclass(frozen=True)
class Query:
    """Where a search wants to look.

    Args:
        points: Float32 (b, 3, h, w) in [0, 1].
        targets: Int64 (b,), classes to be reached; None unless the loss is targeted.
    """

    points: Tensor
    targets: Tensor | None = None


S = TypeVar("S", bound=State)


@dataclass(frozen=True)
class Search(Attack, Generic[S]):
    """An attack of one piece. A subclass is a frozen dataclass of its hyper-parameters with these four methods.

    All of them work on each image by itself, use no chance but `target.noise`, and change nothing in place.
    """

    @abstractmethod
    def course(self, classes: int) -> Course:
        """Return how it runs on a model with so many classes."""

    @abstractmethod
    def init(self, target: Target) -> S:
        """Return the state at the beginning of the run that `target.noise.restart` names."""

    @abstractmethod
    def propose(self, target: Target, state: S) -> Query:
        """Return where to look next; `target.noise.step` is the number of passes done."""

    @abstractmethod
    def update(self, target: Target, state: S, reply: Reply) -> S:
        """Return the state after a look; `reply.gradient` is None in a pass without one."""

    @final
    def stages(self, classes: int) -> tuple[Search[Any], ...]:
        """Return the search itself."""
        return (self,)

    @final
    def search(self, view: Classifier, target: Target) -> Tensor:
        """Return the best images found by all runs, every image taking every pass: no early exit, no waiting."""
        health = Health()
        course = self.course(0)
        classes = 0
        if course.needs_clean:
            clean = evaluate(view, target.images, target.labels, health=health).logits
            target, classes = Target(target.images, target.labels, target.threat, target.noise, clean), clean.shape[1]
            course = self.course(classes)
        best = Best(target, course)
        for run in range(course.runs):
            state = self.init(target.at(run))
            for step in range(course.passes):
                here = target.at(run, step)
                query = self.propose(here, state)
                loss = find_loss(course.loss) if course.loss is not None and course.needs_gradient(step) else None
                reply = evaluate(
                    view,
                    query.points,
                    target.labels,
                    loss,
                    targets=query.targets,
                    samples=course.samples,
                    health=health,
                )
                if not course.unseen_end:
                    best.offer(reply)
                state = self.update(here, state, reply.labels_alone() if course.labels_only else reply)
                if state.done is not None and bool(state.done.all()):
                    break
            if course.unseen_end:
                best.images = self.propose(target.at(run, course.passes), state).points
        health.settle()
        return best.images


class Best:
    """The point with the largest margin seen so far, per image; the image itself as long as there is none."""

    def __init__(self, target: Target, course: Course) -> None:
        self._target, self._course = target, course
        self.images = target.images
        self.margins = torch.full((len(target.labels),), -torch.inf, device=target.images.device)

    def offer(self, reply: Reply) -> None:
        """Keep the points where they are better and within the threat."""
        margins = margin(reply.logits, self._target.labels)
        better = margins > self.margins
        if not self._course.inside:
            better &= holds(self._target, reply.points)
        self.images = row_where(better, reply.points, self.images)
        self.margins = torch.where(better, margins, self.margins)


def holds(target: Target, points: Tensor) -> Tensor:
    """Return bool (b,): the point lies within the threat, up to float32 rounding."""
    return target.threat.size(points - target.images) <= target.threat.epsilon * (1 + 1e-6) + 1e-7
