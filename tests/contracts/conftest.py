"""What keeps the suites of attacks quick: entries that take thousands of passes, with few."""

import dataclasses

import pytest

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
