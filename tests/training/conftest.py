"""A linear classifier on random images: everything that training needs, in milliseconds."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from robustpeft.attacks import PGD
from robustpeft.objectives import PgdAt
from robustpeft.training import Task, TrainingPlan
from robustpeft.types import Linf


@dataclass
class Part:
    images: torch.Tensor
    labels: torch.Tensor
    ids: torch.Tensor


class MemorySplit:
    """Images in memory, as the data room would give them."""

    def __init__(self, n, seed):
        generator = torch.Generator().manual_seed(seed)
        self.images = torch.rand(n, 3, 4, 4, generator=generator)
        self.labels = (self.images[:, 0].mean(dim=(1, 2)) > self.images[:, 1].mean(dim=(1, 2))).long()
        self.ids = torch.arange(n) + 1000 * seed

    def __len__(self):
        return len(self.labels)

    @property
    def digest(self):
        return f"memory{len(self)}"

    def take(self, n, seed=0):
        raise NotImplementedError

    def batches(self, batch_size, *, shuffle_seed=None, augment=None, device="cpu"):
        order = torch.arange(len(self))
        if shuffle_seed is not None:
            order = torch.randperm(len(self), generator=torch.Generator().manual_seed(shuffle_seed))
        for rows in order.split(batch_size):
            images = self.images[rows] if augment is None else augment(self.images[rows])
            yield Part(images, self.labels[rows], self.ids[rows])


class Tunable:
    """A linear model with dropout, of which everything is trained."""

    companion = None

    def __init__(self, dropout=0.0):
        self.model = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(48, 2))
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)

    def named_parameters(self):
        return dict(self.model.named_parameters())

    def is_head(self, name):
        return name == "2.bias"

    def train(self, mode=True):
        self.model.train(mode)


def build_task(dropout=0.0, objective=None, **plan):
    plan = {"epochs": 4, "batch_size": 16, "learning_rate": 0.05, "validations": 4, "averaging": 0.9, **plan}
    return Task(
        Tunable(dropout),
        MemorySplit(56, seed=1),
        MemorySplit(40, seed=2),
        objective or PgdAt(PGD(steps=2, keep="last")),
        Linf(0.02),
        TrainingPlan(selection_attack=PGD(steps=2), **plan),
        seed=3,
    )


@pytest.fixture
def make_task():
    return build_task
