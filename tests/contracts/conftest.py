"""What the suites of attacks share: a small curved network, and few passes for entries that take thousands."""

import dataclasses

import pytest
import torch
from torch import nn

from robustpeft.attacks import ATTACKS
from robustpeft.attacks.ensemble import Ensemble
from robustpeft.types import name_of

FEW = {
    "apgd": {"steps": 12},
    "fab": {"steps": 8},
    "fmn": {"steps": 12},
    "square": {"queries": 40},
    "hard_label": {"queries": 60},
}


class Curved(nn.Module):
    """Five classes; a loss that is no plane."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.inner = nn.Parameter(0.3 * torch.randn(20, 108, generator=generator))
        self.outer = nn.Parameter(torch.randn(5, 20, generator=generator))

    def forward(self, images):
        return torch.tanh(images.flatten(1) @ self.inner.T) @ self.outer.T


@pytest.fixture(scope="session")
def curved():
    """Return a small network of five classes for images of 6 by 6 pixels."""
    return Curved().eval()


def shortened(attack):
    return dataclasses.replace(attack, **FEW.get(name_of(ATTACKS, attack), {}))


@pytest.fixture
def build():
    """Return the function that makes an attack of the table by name, shortened."""
    return lambda name, **fields: shortened(ATTACKS[name](**fields))


@pytest.fixture(autouse=True)
def _shorten_stages(monkeypatch):
    """An ensemble has no fewer passes to offer; its stages have."""
    for cls in ATTACKS.values():
        if issubclass(cls, Ensemble):
            whole = cls.stages
            monkeypatch.setattr(cls, "stages", lambda self, n, whole=whole: tuple(map(shortened, whole(self, n))))
