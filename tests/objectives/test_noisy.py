import torch
from torch.nn import functional as F

from robustpeft.objectives import Noisy
from robustpeft.perturbations import GaussianNoise, PatchDrop
from robustpeft.types import Linf


def test_it_is_the_cross_entropy_on_perturbed_images(model, images, labels):
    ids = torch.arange(4)
    noisy = GaussianNoise(0.3)(images, seed=5, ids=ids)
    loss = Noisy(GaussianNoise(0.3))(model, images, labels, Linf(0.1), seed=5, ids=ids)
    assert torch.equal(loss.total, F.cross_entropy(model(noisy), labels))
    assert loss.parts == {"cross_entropy": loss.total.detach()}
    assert not Noisy.adversarial


def test_any_perturbation_will_do(model, images, labels):
    dropped = PatchDrop(0.5, patch_size=2)(images, seed=5)
    loss = Noisy(PatchDrop(0.5, patch_size=2))(model, images, labels, Linf(0.1), seed=5)
    assert torch.equal(loss.total, F.cross_entropy(model(dropped), labels))


def test_the_default_is_one_of_cohen_et_al():
    assert Noisy() == Noisy(GaussianNoise(sigma=0.25))
