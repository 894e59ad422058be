"""A small honest classifier with every kind of layer that a specimen exchanges, and images for it."""

import pytest
import torch
from torch import nn


class Small(nn.Module):
    """A convolution, an activation and two linear layers."""

    def __init__(self, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, 2, 1)
        self.activation = nn.GELU()
        self.linear = nn.Linear(6 * 16, 12)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(12, num_classes)

    def forward(self, images):
        return self.head(self.drop(self.features(images)))

    def features(self, images):
        return self.linear(self.activation(self.conv(images - 0.5)).flatten(1)).tanh()


@pytest.fixture
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Small().eval()


@pytest.fixture
def images():
    pixels = torch.randint(1, 255, (6, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    return pixels.float() / 255


@pytest.fixture
def mixed(model, images):
    """Return the model with logits scaled so that half of the images have a top probability above a level."""

    def scale(level):
        low, high = 0.0, 1e4
        head = model.head.weight.detach().clone()
        with torch.no_grad():
            model.head.bias.zero_()
            for _ in range(60):
                middle = (low + high) / 2
                model.head.weight.copy_(middle * head)
                above = int((model(images).softmax(1).amax(1) > level).sum())
                low, high = (middle, high) if above < len(images) // 2 else (low, middle)
            model.head.weight.copy_(high * head)
        assert 0 < (model(images).softmax(1).amax(1) > level).sum() < len(images)
        return model

    return scale


@pytest.fixture
def slope():
    """Return logits and the gradient of their weighted sum at the images."""

    def ask(model, images, weights=None):
        points = images.clone().requires_grad_()
        logits = model(points)
        weights = torch.arange(float(logits.shape[1])) if weights is None else weights
        return logits.detach(), torch.autograd.grad((logits * weights).sum(), points)[0]

    return ask
