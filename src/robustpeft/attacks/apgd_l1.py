"""How does APGD ascend in L1? By steps in few values, ever fewer as the best point so far becomes sparse.

    x_{k+1} = within(x_k + s_k * sign(top share of grad loss(x_k)) / their number)

After every 0.04 of the steps, k = the number of values in which the best point differs from the image, of n:

    share = k / (1.5 n)
    s     = epsilon, and on from the best point, if k fell below 0.95 of what it was; else max(s / 1.5, epsilon / 10)

Source: Croce and Hein 2021, arXiv:2103.01208, Section 3 and Algorithm 1, and their code. Differs: their evaluation goes
through larger radii first, which this does not.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robustpeft.attacks.apgd_state import APGDState
from robustpeft.attacks.evaluation import Reply
from robustpeft.attacks.rows import row_where
from robustpeft.attacks.target import Target

__all__ = ["FIRST_SHARE", "sparse_start", "sparse_update"]

FIRST_SHARE = 0.2


def sparse_start(target: Target) -> Tensor:
    """Return the images plus one normal number per value (purpose 0), brought into ball and box."""
    drawn = target.noise.normal(tuple(target.images.shape[1:]))
    return target.within(target.images + drawn.to(target.images.dtype))


def sparse_update(steps: int, target: Target, state: APGDState, reply: Reply) -> APGDState:
    """Return the state after one more of so many steps."""
    assert state.share is not None
    assert state.support is not None
    assert reply.loss is not None
    assert reply.gradient is not None
    epsilon, values = target.threat.epsilon, target.images[0].numel()
    better = reply.loss > state.best_loss
    best = row_where(better, state.points, state.best)
    best_gradient = row_where(better, reply.gradient, state.best_gradient)

    check = (state.step > 0) & (state.step % max(steps * 4 // 100, 1) == 0)
    support = (best != target.images).flatten(1).sum(dim=1).to(state.support)
    sparser = support / state.support < 0.95
    slower = (state.step_size / 1.5).clamp_min(epsilon / 10)
    step_size = torch.where(check, torch.where(sparser, epsilon, slower), state.step_size)
    share = torch.where(check, support / values / 1.5, state.share)
    points = row_where(check & sparser, best, state.points)
    gradient = row_where(check & sparser, best_gradient, reply.gradient)
    return APGDState(
        step=state.step + 1,
        points=target.within(points + step_size.reshape(-1, 1, 1, 1) * _few(gradient, share)),
        before=points,
        step_size=step_size,
        loss=reply.loss,
        grown=state.grown,
        best=best,
        best_gradient=best_gradient,
        best_loss=torch.where(better, reply.loss, state.best_loss),
        checked_loss=state.checked_loss,
        halved=state.halved,
        targets=state.targets,
        share=share,
        support=torch.where(check, support, state.support),
    )


def _few(gradient: Tensor, share: Tensor) -> Tensor:
    """Return the signs of so large a share (b,) of the values, where the gradient is largest, over their number."""
    sizes = gradient.flatten(1).abs()
    values = sizes.shape[1]
    place = ((1 - share) * values).clamp_max(values - 1).long()
    least = sizes.sort(dim=1).values.gather(1, place[:, None])
    signs = torch.where(sizes >= least, gradient.flatten(1).sign(), 0.0)
    return (signs / signs.abs().sum(dim=1, keepdim=True).clamp_min(1.0)).reshape(gradient.shape)
