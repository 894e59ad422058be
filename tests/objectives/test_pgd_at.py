import pytest
import torch
from torch import nn
from torch.nn import functional as F

from robustpeft.attacks import FGSM, PGD
from robustpeft.objectives import Natural, PgdAt
from robustpeft.types import L2, Linf, Noise, content_ids

LABELS = torch.tensor([0, 1, 2, 0])


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 3)).eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(4, 3, 4, 4, generator=torch.Generator().manual_seed(1))


def test_it_equals_a_direct_transcription_of_the_paper(model, images):
    epsilon, steps, step_size = 0.1, 3, 0.04
    noise = Noise(5, content_ids(images), "PGD").uniform((3, 4, 4)) * 2 - 1
    x = (images + (images + noise * epsilon - images).clamp(-epsilon, epsilon)).clamp(0, 1)
    for _ in range(steps):
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(x), LABELS, reduction="sum"), x)
        x = x.detach() + step_size * gradient.sign()
        x = (images + (x - images).clamp(-epsilon, epsilon)).clamp(0, 1)
    wanted = F.cross_entropy(model(x), LABELS)
    wanted_gradients = torch.autograd.grad(wanted, list(model.parameters()))

    objective = PgdAt(attack=PGD(steps=steps, step_size=step_size, keep="last"))
    loss = objective(model, images, LABELS, Linf(epsilon), seed=5)
    gradients = torch.autograd.grad(loss.total, list(model.parameters()))
    assert torch.equal(loss.total, wanted)
    assert all(torch.equal(one, other) for one, other in zip(gradients, wanted_gradients, strict=True))
    assert loss.parts == {"adversarial_cross_entropy": wanted.detach()}


def test_the_adversary_attacks_in_eval_mode_also_while_the_model_is_in_training_mode(model, images):
    threat, attack = Linf(0.1), PGD(steps=3, keep="last")
    adversarial = attack(model, images, LABELS, threat)
    model.train()
    seen = []
    model.register_forward_pre_hook(lambda module, args: seen.append((module.training, args[0].detach().clone())))
    PgdAt(attack=attack)(model, images, LABELS, threat)
    attacked, (trained_in_training_mode, trained_on) = seen[:-1], seen[-1]
    assert len(attacked) == 3
    assert not any(training for training, _ in attacked)
    assert trained_in_training_mode
    assert torch.equal(trained_on, adversarial)


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.5)], ids=str)
def test_the_adversary_makes_the_loss_larger(model, images, threat):
    natural = Natural()(model, images, LABELS, threat).total
    assert PgdAt()(model, images, LABELS, threat).total > natural


def test_any_attack_may_be_the_inner_maximisation(model, images):
    found = PgdAt(attack=FGSM())(model, images, LABELS, Linf(0.1)).total
    assert torch.equal(found, F.cross_entropy(model(FGSM()(model, images, LABELS, Linf(0.1))), LABELS))


def test_ids_key_the_randomness(model, images):
    def loss(ids):
        return PgdAt(attack=PGD(steps=1, keep="last"))(model, images, LABELS, Linf(0.1), ids=ids).total

    assert torch.equal(loss(torch.arange(4)), loss(torch.arange(4)))
    assert not torch.equal(loss(torch.arange(4)), loss(torch.arange(4) + 1))


def test_the_default_spends_no_pass_on_judging_the_end_point():
    assert PgdAt().attack == PGD(steps=10, keep="last")
