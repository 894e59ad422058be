import torch
from torch import nn
from torch.nn import functional as F

from robustpeft.objectives import Natural
from robustpeft.types import Linf


def test_it_is_the_cross_entropy_on_the_images_as_they_are_whatever_the_threat():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    images, labels = torch.rand(4, 3, 2, 2), torch.tensor([0, 1, 2, 0])
    loss = Natural()(model, images, labels, Linf(0.5), seed=7)
    assert torch.equal(loss.total, F.cross_entropy(model(images), labels))
    assert loss.parts == {"cross_entropy": loss.total.detach()}
    assert not Natural.adversarial
