"""A network of the bundled architecture with weights of its own, and images for it."""

import pytest
import torch

from robustpeft.backbones import load_backbone


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def source():
    return load_backbone("digits_vit", num_classes=7, weights=None, seed=3)
