"""A small nonlinear classifier, and PGD as one would write it down, for the equations of the papers."""

import pytest
import torch
from torch import nn

from robustpeft.types import Noise, content_ids


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 3)).eval()


@pytest.fixture(scope="session")
def images():
    return torch.rand(4, 3, 4, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def labels():
    return torch.tensor([0, 1, 2, 0])


@pytest.fixture(scope="session")
def ascend():
    """Return the l_inf ball's point after so many signed steps up the sum of a measure, from PGD's random start."""

    def ascend(images, measure, epsilon, steps, step_size, seed, start=None):
        noise = Noise(seed, content_ids(images), "PGD").uniform(tuple(images.shape[1:])) * 2 - 1
        x = (images + noise * epsilon).clamp(0, 1) if start is None else start
        for _ in range(steps):
            x = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(measure(x).sum(), x)
            x = x.detach() + step_size * gradient.sign()
            x = torch.minimum(torch.maximum(x, images - epsilon), images + epsilon).clamp(0, 1)
        return x.detach()

    return ascend


@pytest.fixture(scope="session")
def same_gradients():
    """Check that two losses have the same value and the same gradients of a module's parameters."""

    def same_gradients(module, found, wanted):
        torch.testing.assert_close(found, wanted)
        parameters = [p for p in module.parameters() if p.requires_grad]
        for one, other in zip(
            torch.autograd.grad(found, parameters), torch.autograd.grad(wanted, parameters), strict=True
        ):
            torch.testing.assert_close(one, other)

    return same_gradients
