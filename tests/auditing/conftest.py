"""Images far from black and white, and linear models whose robust accuracy has a closed form."""

import pytest
import torch
from torch import nn

from robustpeft.auditing import AuditedData, run_audit
from robustpeft.data.image_store import InMemory
from robustpeft.data.split import Split
from robustpeft.records import Subject

SIDE = 4


class Linear(nn.Module):
    """logits = W (x - 0.5) + b."""

    def __init__(self, num_classes: int, side: int = SIDE, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(num_classes, 3 * side * side, generator=generator))
        self.bias = nn.Parameter(0.1 * torch.randn(num_classes, generator=generator))

    def forward(self, images):
        return (images - 0.5).flatten(1) @ self.weight.T + self.bias


@pytest.fixture
def make_linear():
    return Linear


@pytest.fixture
def make_split():
    """Return a split of n images within [0.3, 0.7], so that the box never cuts a ball of 0.3 or less."""

    def make(n=90, num_classes=2, side=SIDE, seed=0):
        generator = torch.Generator().manual_seed(seed)
        pixels = torch.randint(77, 179, (n, 3, side, side), generator=generator, dtype=torch.uint8)
        labels = torch.arange(n) % num_classes
        return Split(InMemory(pixels), torch.arange(n), labels, 1000 + 7 * torch.arange(n))

    return make


@pytest.fixture
def subject():
    return Subject(label="linear", backbone="linear", backbone_digest="0" * 64, num_parameters=98, model_bytes=392)


@pytest.fixture
def make_data():
    return lambda num_classes=2: AuditedData("squares", "test", tuple("abcdefghij"[:num_classes]), note="not real")


@pytest.fixture
def audit(request, make_split, make_data, subject):
    """Audit a model, unless told otherwise by the test file's `PLAN`."""

    def run(model, split=None, plan=None, classes=2, **options):
        split = make_split() if split is None else split
        plan = request.module.PLAN if plan is None else plan
        return run_audit(model, split, plan, subject=subject, data=make_data(classes), **options)

    return run
