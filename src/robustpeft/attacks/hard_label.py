"""Hard-label search: the way to the boundary along rays from the image, by the predicted class alone.

    point(v, r) = clip(x + r v),   r(v) = the smallest r seen at which the class of point(v, r) is wrong
    Linf  v in {-1, 1}^d; the signs of one block are turned and kept where point(v', r(v)) is wrong too; then
          r(v') by halving. Blocks are the whole image, its halves, quarters, ..., single values, and again
    L2    |v| = 1; around point(v, r) the answers to small random steps u estimate the normal of the boundary,
          n ~ sum (a - mean a) u, a = 1 where wrong and -1 elsewhere; v' = unit(v + s n) for s = 1, 1/2, ... until
          point(v', r(v)) is wrong; then r(v') by halving

Source: Linf: RayS, Chen and Gu 2020, arXiv:2006.12792, Algorithms 2 and 3. L2: the gradient estimate with baseline of
HopSkipJump, Chen, Jordan and Wainwright 2020, arXiv:1904.02144, Sections 3.2 and 3.3, Algorithm 2, its number of
queries growing with the square root of the round. Differs: blocks begin anew once single values were tried; halving
ends at a share of the radius; in L2 a step turns the ray instead of leaving the boundary, so the radius never grows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from robustpeft.attacks.evaluation import Reply
from robustpeft.attacks.rows import row_where
from robustpeft.attacks.search import Course, Query, Search, State
from robustpeft.attacks.target import Target
from robustpeft.errors import UserError
from robustpeft.types import COUNT, Interval, check_fields

__all__ = ["HardLabel"]

_TRY, _HALVE, _PROBE = 0, 1, 2
_NEAR = 0.005  # of the radius, where halving ends
_STEP = 0.1  # of the radius: length of the steps that probe the boundary
_SHORTEST = 1 / 16


@dataclass(frozen=True, kw_only=True)
class HardLabelState(State):
    """Each image's ray.

    Args:
        phase: Int64 (b,): what the next pass is for.
        best: The ray with the smallest radius so far.
        radius: (b,), its radius; infinite as long as nothing wrong was seen.
        trial: The ray that is tried or halved.
        low, high: (b,), where the trial is right, and where it is wrong or will be looked at.
        turn: Int64 (b,), in Linf the blocks tried, in L2 the probes of this round.
        round: Int64 (b,), rounds of probes; L2 alone.
        stride: (b,), length of the turn towards the normal, in units of the ray; L2 alone.
        votes, steps: Sums of the probes with their answers and without; the normal when all are in; (b, 0) in Linf.
        tally: (b,), sum of the answers.
    """

    phase: Tensor
    best: Tensor
    radius: Tensor
    trial: Tensor
    low: Tensor
    high: Tensor
    turn: Tensor
    round: Tensor
    stride: Tensor
    votes: Tensor
    steps: Tensor
    tally: Tensor


@final
@dataclass(frozen=True)
class HardLabel(Search[HardLabelState]):
    """A search for the nearest wrong class that is told nothing but the predicted class.

    Points count as found if they lie within the threat; where it looks does not depend on epsilon.

    Draws: in Linf, in the first pass of every run but the first, the signs of the ray, negative below a half. In L2,
    in every pass, uniform numbers on [0, 1) with purpose 0 (an image to start towards) or normal ones with purpose 1.

    Args:
        queries: Looks in each run, at least 1.
        restarts: Independent runs, at least 1.
        probes: Looks in the first round of probes, at least 2; L2 alone.
    """

    cost: ClassVar[str] = "restarts x queries forwards, no backward"

    queries: int = 5000
    restarts: int = 1
    probes: int = 50

    def __post_init__(self) -> None:
        probes = Interval(2, note=": one answer has no mean to differ from")
        check_fields(self, queries=COUNT, restarts=COUNT, probes=probes)

    def course(self, classes: int) -> Course:
        """Return passes that tell the predicted class and nothing else."""
        return Course(passes=self.queries, runs=self.restarts, labels_only=True, inside=False)

    def init(self, target: Target) -> HardLabelState:
        """Return the ray towards white in Linf, in later runs a random corner; in L2 towards random pixels.

        Raises:
            UserError: If the threat's norm is neither Linf nor L2.
        """
        images, norm = target.images, target.threat.norm
        if norm not in ("linf", "l2"):
            raise UserError(f"HardLabel is written for linf and l2; got {norm}")
        none = torch.zeros_like(target.labels)
        zero = torch.zeros(len(images), device=images.device)
        if norm == "linf":
            corners = (2 * (target.noise.uniform(tuple(images.shape[1:])) >= 0.5) - 1).to(images.dtype)
            ray, reach = row_where(target.runs > 0, corners, torch.ones_like(images)), zero + 1
            sums = images.new_zeros(len(images), 0)
        else:
            ray, reach = _towards_random_pixels(target)
            sums = torch.zeros_like(images)
        return HardLabelState(
            step=none,
            phase=none + _TRY,
            best=ray,
            radius=zero + torch.inf,
            trial=ray,
            low=zero,
            high=reach,
            turn=none,
            round=none,
            stride=zero + 1,
            votes=sums,
            steps=sums,
            tally=zero,
        )

    def propose(self, target: Target, state: HardLabelState) -> Query:
        """Return the point of the ray that is tried or halved, or one beside the best one."""
        middle = torch.where(state.phase == _HALVE, (state.low + state.high) / 2, state.high)
        points = target.images + _each(middle) * state.trial
        if target.threat.norm == "l2":
            radius = torch.where(state.phase == _PROBE, state.radius, 0.0)  # infinite until something wrong was seen
            beside = target.images + _each(radius) * (state.best + _STEP * _directions(target))
            points = row_where(state.phase == _PROBE, beside, points)
        return Query(points.clamp(0.0, 1.0))

    def update(self, target: Target, state: HardLabelState, reply: Reply) -> HardLabelState:
        """Return the ray after the answer: kept and halved, given up for another, or one probe richer."""
        wrong = reply.logits.argmax(dim=1) != target.labels
        trying, halving = state.phase == _TRY, state.phase == _HALVE
        seen = torch.where(halving, (state.low + state.high) / 2, state.high)
        good = wrong & (trying | halving)
        high = torch.where(good, seen, state.high)
        low = torch.where(trying, 0.0, torch.where(halving & ~wrong, seen, state.low))
        near = _near(target) if target.threat.norm == "l2" else _NEAR
        halved = halving & (high - low <= near * high)
        after = _replaced(
            state,
            step=state.step + 1,
            phase=torch.where(trying & wrong, _HALVE, state.phase),
            best=row_where(good, state.trial, state.best),
            radius=torch.where(good, seen, state.radius),
            low=low,
            high=high,
        )
        if target.threat.norm == "linf":
            return _turned(after, trying & ~wrong | halved)
        return self._moved(target, after, wrong, trying & ~wrong, halved)

    def _moved(
        self, target: Target, state: HardLabelState, wrong: Tensor, failed: Tensor, halved: Tensor
    ) -> HardLabelState:
        """Return in L2 the next start where there is none, a shorter turn where one failed, or the next probe."""
        pixels, reach = _towards_random_pixels(target)
        lost = failed & (state.radius == torch.inf)
        stride = torch.where(failed, state.stride / 2, state.stride)
        given_up = failed & ~lost & (stride < _SHORTEST)
        probing = state.phase == _PROBE
        answer = torch.where(wrong, 1.0, -1.0) * probing
        probe = _directions(target) * _each(probing.float())
        votes, steps = state.votes + _each(answer) * probe, state.steps + probe
        tally, turn = state.tally + answer, state.turn + probing
        asked = (self.probes * (state.round + 1).double().sqrt()).long()
        full = probing & (turn >= asked)
        normal = _unit(votes - _each(tally / turn.clamp_min(1)) * steps)
        votes = row_where(full, normal, votes)
        stride = torch.where(full, 1.0, stride)
        again = full | (failed & ~lost & ~given_up)
        trial = row_where(again, _unit(state.best + _each(stride) * votes), row_where(lost, pixels, state.trial))
        anew = halved | given_up
        return _replaced(
            state,
            phase=torch.where(anew, _PROBE, torch.where(again, _TRY, state.phase)),
            trial=trial,
            low=torch.where(again, 0.0, state.low),
            high=torch.where(again, state.radius, torch.where(lost, reach, state.high)),
            turn=torch.where(anew, 0, turn),
            round=state.round + full,
            stride=stride,
            votes=row_where(anew, torch.zeros_like(votes), votes),
            steps=row_where(anew, torch.zeros_like(steps), steps),
            tally=torch.where(anew, 0.0, tally),
        )


def _turned(state: HardLabelState, over: Tensor) -> HardLabelState:
    """Return in Linf the best ray with the signs of the next block turned, where the last one is over."""
    size = state.best[0].numel()
    levels = max(1, math.ceil(math.log2(size)))
    place = state.turn % (2**levels - 1 + size)
    powers = 2 ** torch.arange(levels + 1, device=place.device)
    level = torch.bucketize(place + 1, powers, right=True) - 1
    blocks = (2**level).clamp_max(size)
    block = place + 1 - 2**level
    first, last = block * size // blocks, (block + 1) * size // blocks
    where = torch.arange(size, device=place.device)
    inside = (where >= first[:, None]) & (where < last[:, None])
    trial = torch.where(inside.reshape(state.best.shape), -state.best, state.best)
    return _replaced(
        state,
        phase=torch.where(over, _TRY, state.phase),
        trial=row_where(over, trial, state.trial),
        low=torch.where(over, 0.0, state.low),
        turn=state.turn + over,
    )


def _replaced(state: HardLabelState, **changes: Tensor) -> HardLabelState:
    """Return the state with these fields changed, each in the type it had."""
    return state.with_tensors(state.tensors() | changes)


def _towards_random_pixels(target: Target) -> tuple[Tensor, Tensor]:
    """Return unit rays towards uniformly drawn images, and the distances (b,)."""
    way = target.noise.uniform(tuple(target.images.shape[1:])).to(target.images.dtype) - target.images
    return _unit(way), torch.linalg.vector_norm(way.flatten(1), dim=1)


def _directions(target: Target) -> Tensor:
    return _unit(target.noise.normal(tuple(target.images.shape[1:]), purpose=1).to(target.images.dtype))


def _near(target: Target) -> float:
    """Return where halving ends in L2: well within the share of a probe that points across the boundary."""
    return min(_NEAR, 0.3 * _STEP / math.sqrt(target.images[0].numel()))


def _unit(vectors: Tensor) -> Tensor:
    return vectors / _each(torch.linalg.vector_norm(vectors.flatten(1), dim=1).clamp_min(1e-12))


def _each(values: Tensor) -> Tensor:
    return values.reshape(-1, 1, 1, 1)
