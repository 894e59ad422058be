import dataclasses

import pytest
import torch

from robustpeft.attacks import APGD
from robustpeft.attacks.evaluation import Reply
from robustpeft.attacks.target import Target
from robustpeft.types import L1, Noise

GREY = torch.full((1, 3, 4, 4), 0.5)


def advanced(state, target, loss):
    reply = Reply(state.points, torch.zeros(1, 2), torch.tensor([loss]), torch.ones_like(GREY))
    return APGD(steps=100).update(target, state, reply)


@pytest.fixture
def target():
    return Target(GREY, torch.tensor([0]), L1(2.0), Noise(0, torch.tensor([0]), "APGD"))


def test_while_the_best_point_stays_the_step_shrinks_every_four_steps_to_a_tenth_of_epsilon(target):
    state, sizes = APGD(steps=100).init(target), []
    for step in range(45):
        state = advanced(state, target, -float(step))
        if step % 4 == 0:
            sizes.append(float(state.step_size))
    # The start itself is sparser than all values, which is what the first check-point compares it with.
    assert sizes == pytest.approx([2.0, 2.0] + [max(2.0 / 1.5**n, 0.2) for n in range(1, 11)])


@pytest.mark.parametrize(("changed", "size"), [(19, 1.0), (18, 2.0)])
def test_the_step_is_whole_again_when_the_best_point_has_become_sparser_by_more_than_a_twentieth(target, changed, size):
    points = GREY.clone()
    points.view(-1)[:changed] = 0.6
    state = dataclasses.replace(
        APGD(steps=100).init(target),
        step=torch.tensor([4]),
        best=points,
        best_loss=torch.tensor([5.0]),
        step_size=torch.tensor([1.5]),
        support=torch.tensor([20.0]),
    )
    after = advanced(state, target, 0.0)
    assert float(after.step_size) == pytest.approx(size)
    assert float(after.share) == pytest.approx(changed / 48 / 1.5)
    assert float(after.support) == changed
    assert torch.equal(after.before, points) == (size == 2.0)  # it goes on from there, or from where it is
