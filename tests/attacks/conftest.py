"""Small models and splits for the tests of the attacks and their driver."""

import dataclasses
import hashlib

import pytest
import torch
from torch import nn

from robustpeft.records import read_ledger


@dataclasses.dataclass
class Batch:
    images: torch.Tensor
    labels: torch.Tensor
    ids: torch.Tensor


@dataclasses.dataclass
class MemorySplit:
    """A split that is three tensors."""

    images: torch.Tensor
    labels: torch.Tensor
    ids: torch.Tensor

    @property
    def digest(self):
        parts = (self.ids.sort().values, self.labels[self.ids.argsort()])
        return hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()

    def __len__(self):
        return len(self.labels)

    def subset(self, indices):
        return MemorySplit(self.images[indices], self.labels[indices], self.ids[indices])

    def batches(self, batch_size, *, shuffle_seed=None, augment=None, device="cpu"):
        for start in range(0, len(self), batch_size):
            part = slice(start, start + batch_size)
            yield Batch(self.images[part].clone(), self.labels[part], self.ids[part])


class Killed(BaseException):
    """What no code catches by mistake."""


class Curved(nn.Module):
    """A few classes, a loss that goes up and down within the ball, dropout, and a count of its passes."""

    def __init__(self, classes=4, seed=2, scale=3.0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.inner = nn.Parameter(scale * torch.randn(16, 48, generator=generator))
        self.outer = nn.Parameter(torch.randn(classes, 16, generator=generator))
        self.register_buffer("shift", torch.zeros(classes))
        self.drop = nn.Dropout(0.5)
        self.widths = []
        self.stop_at = None
        self.damage = lambda number, logits: logits

    def forward(self, images):
        if self.stop_at is not None and len(self.widths) == self.stop_at:
            raise Killed
        self.widths.append(len(images))
        logits = torch.sin(self.drop(images).flatten(1) @ self.inner.T) @ self.outer.T + self.shift
        return self.damage(len(self.widths), logits)


class Linear(nn.Module):
    """Two classes whose logits differ by w x."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images):
        score = images.flatten(1) @ self.weight
        return torch.stack([-score / 2, score / 2], dim=1)


class Recorder:
    """Calls a model and remembers what it was called with, and how often a gradient was asked of it."""

    def __init__(self, model):
        self.model, self.seen, self.backwards = model, [], 0

    def __call__(self, images):
        self.seen.append(images.detach().clone())
        logits = self.model(images)
        if logits.requires_grad and torch.is_grad_enabled():
            logits.register_hook(self._count)
        return logits

    def _count(self, gradient):
        self.backwards += 1


def _split_of(model, images=14, classes=4, seed=7, wrong=2):
    """Return images that the model classifies correctly, but for the last few."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(images, 3, 4, 4, generator=generator)
    widths, model.widths = model.widths, []
    with torch.no_grad():
        labels = model.eval()(points.to(model.inner.dtype)).argmax(1)
    model.widths = widths
    if wrong:
        labels[-wrong:] = (labels[-wrong:] + 1) % classes
    return MemorySplit(points, labels, 1000 + 3 * torch.arange(images) % 41)


@pytest.fixture
def curved():
    return Curved


@pytest.fixture
def killed():
    return Killed


@pytest.fixture
def split_of():
    return _split_of


@pytest.fixture
def memory_split():
    return MemorySplit


@pytest.fixture
def model(curved):
    return curved()


@pytest.fixture
def split(model, split_of):
    return split_of(model)


@pytest.fixture(scope="session")
def recorded():
    return Recorder


@pytest.fixture(scope="session")
def linear():
    return Linear


@pytest.fixture(scope="session")
def linear_task():
    """A linear model of two classes, four images of 2 x 2 pixels within [low, high], and their labels."""

    def draw(seed, low=0.0, high=1.0):
        generator = torch.Generator().manual_seed(seed)
        images = low + (high - low) * torch.rand(4, 3, 2, 2, generator=generator)
        return Linear(torch.randn(12, generator=generator)), images, torch.tensor([0, 1, 1, 0])

    return draw


@pytest.fixture
def rows_of():
    """The rows of findings by their keys; how long a row took is left out."""
    return lambda findings: {key: dataclasses.replace(row, seconds=0) for key, row in findings.rows.items()}


@pytest.fixture
def kept():
    """The same of the ledger in a directory."""
    return lambda directory: {row.key: dataclasses.replace(row, seconds=0) for row in read_ledger(directory)[1]}
