import dataclasses

import pytest
import torch

from robustpeft.attacks import APGD
from robustpeft.attacks.evaluation import Reply
from robustpeft.attacks.target import Target
from robustpeft.types import L1, Noise

GREY = torch.full((1, 3, 4, 4), 0.5)


def advanced(state, target, loss, steps=100):
    reply = Reply(state.points, torch.zeros(1, 2), torch.tensor([loss]), torch.ones_like(GREY))
    return APGD(steps=steps).update(target, state, reply)


@pytest.fixture
def target():
    return Target(GREY, torch.tensor([0]), L1(2.0), Noise(0, torch.tensor([0]), "APGD"))


def test_it_starts_at_the_image_plus_one_normal_number_per_value_brought_into_the_ball(target):
    wanted = target.within(GREY + target.noise.normal((3, 4, 4)))
    assert torch.equal(APGD().init(target).points, wanted)


def test_while_the_best_point_stays_the_step_shrinks_every_four_steps_to_a_tenth_of_epsilon(target):
    state, sizes = APGD(steps=100).init(target), []
    for step in range(45):
        state = advanced(state, target, -float(step))
        if step % 4 == 0:
            sizes.append(float(state.step_size))
    # The start itself is sparser than all values, which is what the first check-point compares it with.
    assert sizes == pytest.approx([2.0, 2.0] + [max(2.0 / 1.5**n, 0.2) for n in range(1, 11)])


@pytest.mark.parametrize("steps", [1, 10, 49])
def test_with_fewer_than_50_steps_it_is_looked_at_after_every_one_but_the_first(target, steps):
    state, sizes = APGD(steps=steps).init(target), []
    for step in range(7):
        state = advanced(state, target, -float(step), steps)
        sizes.append(float(state.step_size))
    assert sizes == pytest.approx([2.0, 2.0] + [2.0 / 1.5**n for n in range(1, 6)])


def test_a_step_goes_along_the_signs_of_the_largest_share_of_the_gradient_and_is_as_long_as_it_says():
    images = GREY.repeat(3, 1, 1, 1)
    target = Target(images, torch.zeros(3).long(), L1(2.0), Noise(0, torch.arange(3), "APGD"))
    gradient = torch.randn(3, 48, generator=torch.Generator().manual_seed(0))
    sizes, shares, numbers = torch.tensor([0.3, 0.6, 1.2]), torch.tensor([0.0, 0.1, 0.25]), [1, 5, 12]
    state = dataclasses.replace(
        APGD(steps=100).init(target), step=torch.ones(3).long(), points=images, step_size=sizes, share=shares
    )
    reply = Reply(images, torch.zeros(3, 2), torch.zeros(3), gradient.reshape(images.shape))
    after = APGD(steps=100).update(target, state, reply)
    wanted = torch.zeros(3, 48)
    for row, (size, number) in enumerate(zip(sizes, numbers, strict=True)):
        places = gradient[row].abs().topk(number).indices
        wanted[row, places] = size / number * gradient[row, places].sign()
    torch.testing.assert_close((after.points - images).flatten(1), wanted, rtol=0, atol=1e-6)
    # Which is what a snapshot of it must hold.
    assert after.tensors().keys() == state.tensors().keys()


def test_a_start_in_which_all_values_moved_is_what_the_first_check_point_compares_with():
    target = Target(GREY, torch.tensor([0]), L1(100.0), Noise(0, torch.tensor([0]), "APGD"))  # nothing to project
    state, sizes = APGD(steps=100).init(target), []
    assert (state.points != GREY).all()
    for step in range(9):
        state = advanced(state, target, -float(step))
        sizes.append(float(state.step_size))
    assert sizes == pytest.approx([100.0] * 4 + [100.0 / 1.5] * 4 + [100.0 / 1.5**2])


def test_of_points_of_equal_loss_the_first_is_the_best(target):
    begun = APGD(steps=100).init(target)
    after = advanced(advanced(begun, target, 1.0), target, 1.0)
    assert torch.equal(after.best, begun.points)


def test_it_goes_on_towards_the_class_it_was_given(target):
    attack = APGD(steps=9, loss="targeted_margin", restarts=2)
    target = dataclasses.replace(target, clean=torch.tensor([[3.0, 1.0, 2.0]]))
    for run, wanted in enumerate((2, 1)):
        state = attack.init(target.at(run))
        reply = Reply(state.points, torch.zeros(1, 3), torch.ones(1), torch.ones_like(GREY))
        for _ in range(3):
            assert attack.propose(target, state).targets.tolist() == [wanted]
            state = attack.update(target, state, reply)


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


def test_each_image_of_a_batch_is_looked_at_by_itself():
    target = Target(GREY.repeat(2, 1, 1, 1), torch.zeros(2).long(), L1(2.0), Noise(0, torch.arange(2), "APGD"))
    best = target.images.clone()
    best[0].view(-1)[:19], best[1].view(-1)[:18] = 0.6, 0.6
    changes = {"step": [4, 4], "best_loss": [5.0, 5.0], "step_size": [1.5, 1.5], "support": [20.0, 20.0]}
    state = dataclasses.replace(
        APGD(steps=100).init(target), best=best, **{name: torch.tensor(each) for name, each in changes.items()}
    )
    reply = Reply(state.points, torch.zeros(2, 2), torch.zeros(2), torch.ones_like(best))
    after = APGD(steps=100).update(target, state, reply)
    assert after.support.tolist() == [19.0, 18.0]
    assert after.step_size.tolist() == [1.0, 2.0]
