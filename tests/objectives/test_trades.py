import pytest
import torch
from torch.nn import functional as F

from robustpeft.attacks import PGD
from robustpeft.objectives import TRADES, Natural
from robustpeft.objectives.trades import divergences
from robustpeft.types import Linf, UserError


def kl(p, q):
    return (p * (p.log() - q.log())).sum(1)


def test_it_equals_a_direct_transcription_of_the_paper(model, images, labels, ascend, same_gradients):
    with torch.no_grad():
        clean = model(images).softmax(1)
    x = ascend(images, lambda x: kl(clean, model(x).softmax(1)), 0.1, 3, 0.04, 5)
    divergence = kl(model(images).softmax(1), model(x).softmax(1)).mean()
    wanted = F.cross_entropy(model(images), labels) + 2.5 * divergence
    objective = TRADES(PGD(steps=3, step_size=0.04, keep="last", loss="kl"), beta=2.5)
    loss = objective(model, images, labels, Linf(0.1), seed=5)
    same_gradients(model, loss.total, wanted)
    torch.testing.assert_close(loss.parts["divergence"], divergence.detach(), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(loss.parts["cross_entropy"], F.cross_entropy(model(images), labels).detach())
    assert loss.parts["adversarial_accuracy"] == (model(x).argmax(1) == labels).float().mean()


def test_the_divergence_of_two_answers():
    clean, other = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(divergences(clean, other), kl(clean.softmax(1), other.softmax(1)))


def test_without_weight_it_is_the_natural_loss(model, images, labels):
    found = TRADES(beta=0)(model, images, labels, Linf(0.1)).total
    assert torch.equal(found, Natural()(model, images, labels, Linf(0.1)).total)


def test_without_an_adversary_one_forward_is_enough(model, images, labels):
    calls = []
    model.register_forward_pre_hook(lambda module, args: calls.append(1))
    TRADES()(model, images, labels, Linf(0.0))
    assert len(calls) == 1


def test_the_defaults_are_those_of_the_paper():
    assert TRADES() == TRADES(PGD(steps=10, keep="last", loss="kl"), beta=6.0)


@pytest.mark.parametrize("beta", [-1.0, float("nan")])
def test_a_negative_weight_is_refused(beta):
    with pytest.raises(UserError, match="beta must be at least 0"):
        TRADES(beta=beta)
