import dataclasses
from typing import ClassVar

import pytest
import torch

from robustpeft.perturbations import Perturbation
from robustpeft.types import content_ids


@dataclasses.dataclass(frozen=True)
class Shift(Perturbation):
    """Adds a constant; remembers the keys it was given."""

    by: float
    whole: int = 1
    strength_field: ClassVar[str] = "by"
    seen: ClassVar[list] = []

    def apply(self, images, noise):
        self.seen.append(noise)
        return images + self.by


@dataclasses.dataclass(frozen=True)
class Count(Perturbation):
    number: int
    strength_field: ClassVar[str] = "number"

    def apply(self, images, noise):
        return images.clone()


IMAGES = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def test_results_are_clipped_to_the_unit_box():
    assert torch.equal(Shift(0.5)(IMAGES), (IMAGES + 0.5).clamp(0, 1))
    assert torch.equal(Shift(-0.5)(IMAGES), (IMAGES - 0.5).clamp(0, 1))


def test_ids_default_to_the_content_of_the_images():
    Shift(0.1)(IMAGES, seed=5)
    noise = Shift.seen.pop()
    assert torch.equal(noise.ids, content_ids(IMAGES))
    assert noise.seed == 5


def test_per_batch_gives_every_image_the_same_key():
    Shift(0.1, per_batch=True)(IMAGES, ids=torch.tensor([4, 5]))
    assert Shift.seen.pop().ids.tolist() == [0, 0]


def test_two_perturbations_meet_different_random_numbers():
    Shift(0.1)(IMAGES)
    shift = Shift.seen.pop()
    assert shift.stream == "Shift"


def test_per_batch_is_a_keyword_so_that_the_strength_comes_first():
    with pytest.raises(TypeError):
        Shift(0.1, 1, True)


def test_a_perturbed_image_can_be_differentiated():
    images = IMAGES.clone().requires_grad_()
    Shift(0.0)(images).sum().backward()
    assert torch.equal(images.grad, torch.ones_like(images))


def test_a_whole_strength_stays_whole():
    assert Count(2).with_strength(4.0).number == 4
    assert isinstance(Count(2).with_strength(4.0).number, int)
    assert Shift(0.5).with_strength(0.25) == Shift(0.25)
    assert Count(3).strength == 3.0
