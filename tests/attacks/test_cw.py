import pytest
import torch
from torch import nn

from robustpeft.attacks import CW, PGD, margin
from robustpeft.attacks.evaluation import evaluate
from robustpeft.attacks.losses import find_loss
from robustpeft.types import L2, Linf, UserError


class Curved(nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.inner = nn.Parameter(torch.randn(16, 48, generator=generator))
        self.outer = nn.Parameter(torch.randn(4, 16, generator=generator))

    def forward(self, images):
        return torch.sin(images.flatten(1) @ self.inner.T) @ self.outer.T


@pytest.fixture(scope="module")
def curved():
    return Curved().requires_grad_(False)


@pytest.fixture(scope="module")
def images():
    return torch.rand(12, 3, 4, 4, generator=torch.Generator().manual_seed(4))


@pytest.fixture(scope="module")
def labels(curved, images):
    return curved(images).argmax(dim=1)


@pytest.mark.parametrize("threat", [Linf(0.02), L2(0.2)], ids=str)
def test_it_reaches_the_margins_of_pgd_on_the_margin(curved, images, labels, threat):
    found = CW(steps=8, restarts=2)(curved, images, labels, threat)
    wanted = PGD(steps=8, restarts=2, loss="margin")(curved, images, labels, threat)
    torch.testing.assert_close(margin(curved(found), labels), margin(curved(wanted), labels), rtol=0, atol=0.05)
    assert (margin(curved(found), labels) > margin(curved(images), labels)).all()


def test_its_one_stage_has_its_fields_and_the_twenty_steps_of_the_literature():
    assert CW().stages(10) == (PGD(steps=20, loss="margin"),)
    assert CW(7, 0.01, 3).stages(2) == (PGD(steps=7, step_size=0.01, restarts=3, loss="margin"),)


def test_it_moves_where_the_gradient_of_the_cross_entropy_has_vanished():
    def sure(x):
        score = 2000.0 * (x.flatten(1).mean(dim=1) - 0.49)
        return torch.stack([score * 20, torch.zeros_like(score)], dim=1)

    images, labels = torch.full((1, 3, 2, 2), 0.5), torch.tensor([0])
    assert float(evaluate(sure, images, labels, find_loss("cross_entropy")).gradient.abs().max()) == 0
    assert margin(sure(CW(steps=3)(sure, images, labels, Linf(0.02))), labels) > 0


def test_images_that_are_misclassified_as_they_are_are_not_attacked(curved, images, labels):
    wrong = labels.clone()
    wrong[::2] = (labels[::2] + 1) % 4
    found = CW(steps=3)(curved, images, wrong, Linf(0.1))
    assert torch.equal(found[::2], images[::2])
    assert (found[1::2] != images[1::2]).flatten(1).any(dim=1).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"restarts": 0}, "restarts must be at least 1"),
        ({"step_size": -1.0}, "step_size must be above 0"),
    ],
)
def test_hyper_parameters_that_mean_nothing_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        CW(**fields)
