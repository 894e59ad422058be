import pytest
import torch
from torch.nn import functional as F

from robustpeft.attacks import PGD
from robustpeft.objectives import TRADES, Natural, PgdAt, SingleStep, Smoothing
from robustpeft.types import Linf, UserError


def smoothed(logits, labels, amount):
    q = (1 - amount) * F.one_hot(labels, 3) + amount / 3
    return -(q * F.log_softmax(logits, 1)).sum(1)


def test_the_natural_loss_with_smoothed_labels(model, images, labels, same_gradients):
    loss = Smoothing(Natural(), 0.3)(model, images, labels, Linf(0.1))
    same_gradients(model, loss.total, smoothed(model(images), labels, 0.3).mean())


def test_the_adversary_increases_the_smoothed_loss(model, images, labels, ascend, same_gradients):
    x = ascend(images, lambda x: smoothed(model(x), labels, 0.9), 0.3, 3, 0.1, 5)
    objective = Smoothing(PgdAt(PGD(steps=3, step_size=0.1, keep="last")), 0.9)
    loss = objective(model, images, labels, Linf(0.3), seed=5)
    same_gradients(model, loss.total, smoothed(model(x), labels, 0.9).mean())
    hard = PgdAt(PGD(steps=3, step_size=0.1, keep="last")).lesson(model, images, labels, Linf(0.3), seed=5)
    assert not torch.equal(hard.attacked, x)


def test_the_single_step_does_too(model, images, labels):
    soft = Smoothing(SingleStep(), 0.9).lesson(model, images, labels, Linf(0.3))
    hard = SingleStep().lesson(model, images, labels, Linf(0.3))
    assert not torch.equal(soft.attacked, hard.attacked)


def test_an_adversary_that_knows_no_labels_is_as_before(model, images, labels):
    soft = Smoothing(TRADES(), 0.3).lesson(model, images, labels, Linf(0.1))
    assert torch.equal(soft.attacked, TRADES().lesson(model, images, labels, Linf(0.1)).attacked)
    assert soft.targets.smoothing == 0.3


@pytest.mark.parametrize("objective", [Natural(), PgdAt()])
def test_it_is_adversarial_if_the_objective_is(objective):
    assert Smoothing(objective).adversarial is objective.adversarial


def test_twice_is_refused(model, images, labels):
    with pytest.raises(UserError, match="smoothed already"):
        Smoothing(Smoothing(Natural()))(model, images, labels, Linf(0.1))


@pytest.mark.parametrize("amount", [-0.1, 1.0, float("nan")])
def test_an_amount_outside_0_and_1_is_refused(amount):
    with pytest.raises(UserError, match=r"amount must be in \[0, 1\)"):
        Smoothing(amount=amount)


def test_nothing_spread_is_the_objective_itself(model, images, labels, same_gradients):
    wanted = PgdAt(PGD(steps=2, keep="last"))(model, images, labels, Linf(0.1)).total
    loss = Smoothing(PgdAt(PGD(steps=2, keep="last")), amount=0.0)(model, images, labels, Linf(0.1)).total
    same_gradients(model, loss, wanted)
