from contextlib import nullcontext

import torch
from torch import nn

from robustpeft.types import Attackable, Foldable


class Complete(nn.Module):
    def forward(self, images):
        return self.features(images)

    def features(self, images):
        return images.flatten(1)

    def attack_view(self):
        return self

    def disabled(self):
        return nullcontext()


class Branch(nn.Linear):
    def folded(self):
        return nn.Linear(1, 1)


def test_a_module_with_all_four_members_is_attackable():
    assert isinstance(Complete(), Attackable)
    assert Complete()(torch.zeros(2, 3, 1, 1)).shape == (2, 3)


def test_a_plain_module_is_neither_attackable_nor_foldable():
    assert not isinstance(nn.Linear(1, 1), Attackable)
    assert not isinstance(nn.Linear(1, 1), Foldable)


def test_a_module_that_can_fold_itself_is_foldable():
    assert isinstance(Branch(1, 1), Foldable)
