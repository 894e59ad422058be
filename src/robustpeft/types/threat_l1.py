"""What may an adversary do whose changes add up? Few pixels, and those by much."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from robustpeft.types.randomness import Noise
from robustpeft.types.threat import Threat

__all__ = ["L1"]


@final
@dataclass(frozen=True)
class L1(Threat):
    """The sizes of all changes of an image may add up to at most epsilon.

    `ascend` is not the direction in which a linear function grows fastest: that is one value alone, and a step along it
    ends at once where this value is at the edge of the box, for ever. It is the sum of several coordinates instead.
    """

    norm: ClassVar[str] = "l1"
    max_epsilon: ClassVar[float] = math.inf  # 12 is usual for 32 px

    def project(self, delta: Tensor) -> Tensor:
        """Return the perturbation with every value shrunk by the same amount, to 0 at most."""
        return _shrunk(delta, delta.abs(), self.epsilon)

    def ascend(self, gradient: Tensor) -> Tensor:
        """Return the signs of the twentieth of the values where the gradient is largest, divided by their number.

        Source: Tramer and Boneh 2019, arXiv:1904.13000, Section 4, with a hundredth.
        """
        sizes = gradient.flatten(1).abs()
        least = sizes.topk(math.ceil(sizes.shape[1] / 20), dim=1).values[:, -1:]
        signs = torch.where(sizes >= least, gradient.flatten(1).sign(), 0.0)
        return (signs / signs.abs().sum(dim=1, keepdim=True).clamp_min(1.0)).reshape(gradient.shape)

    def random(self, noise: Noise, shape: tuple[int, ...]) -> Tensor:
        """Return exponential values of either sign, divided by the sum of the sizes of one more than there are."""
        signed = noise.uniform(shape, purpose=0).double() * 2.0 - 1.0 + 2.0**-24  # never -1, 0 or 1
        sizes = -torch.log1p(-signed.abs())
        one_more = -torch.log(noise.uniform((1,), purpose=1).double() + 2.0**-25)
        total = self.size(sizes)[:, None] + one_more
        return (signed.sign() * sizes / total.reshape(-1, 1, 1, 1) * self.epsilon).float()

    def within(self, images: Tensor, candidates: Tensor) -> Tensor:
        """Return the nearest points of ball and box together: what the box cuts off is not lost to the ball."""
        delta = candidates - images
        room = torch.where(delta > 0, 1.0 - images, images)
        return (images + _shrunk(delta, room, self.epsilon)).clamp(0.0, 1.0)

    def size(self, delta: Tensor) -> Tensor:
        """Return the sum of the absolute values of each image's perturbation."""
        return delta.abs().flatten(1).sum(dim=1)


def _shrunk(delta: Tensor, room: Tensor, radius: float) -> Tensor:
    """Return the nearest perturbation of L1 norm at most `radius` that goes no further than `room`.

        sign(d_i) * min(max(|d_i| - t, 0), room_i),   t >= 0 the smallest for which the sum of sizes is at most radius

    The sum falls with t, in straight pieces between the values |d_i| - room_i and |d_i|, which are sorted; in float64.

    Source: Croce and Hein 2021, arXiv:2103.01208, Section 2.
    """
    sizes, rooms = delta.flatten(1).double().abs(), room.flatten(1).double()
    ends, order = torch.cat([sizes - rooms, sizes], dim=1).sort(dim=1)
    shrinking = torch.where(order < sizes.shape[1], 1.0, -1.0).double().cumsum(dim=1)[:, :-1]
    lost = (shrinking * ends.diff(dim=1)).flip(1).cumsum(dim=1).flip(1)
    sums = torch.cat([lost, torch.zeros_like(ends[:, :1])], dim=1)  # of sizes, when t is at each of the ends
    after = (sums > radius).sum(dim=1, keepdim=True).clamp_max(sums.shape[1] - 1)  # the first that is far enough
    slope = shrinking.gather(1, (after - 1).clamp_min(0)).clamp_min(1.0)
    t = ends.gather(1, after) - (radius - sums.gather(1, after)) / slope
    t = torch.where(after > 0, t.clamp_min(0.0), 0.0)
    inside = torch.minimum((sizes - t).clamp_min(0.0), rooms).to(delta.dtype)
    return delta.sign() * inside.reshape(delta.shape)
