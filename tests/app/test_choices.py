import sys

import pytest
import torch

from robustpeft.app.choices import ATTACK_NAMES, NORMS, PERTURBATION_NAMES, Question, Steps, range_of
from robustpeft.attacks import PGD, AutoAttack, Square
from robustpeft.errors import UserError
from robustpeft.perturbations import CORRUPTIONS, GaussianNoise, PatchDrop, PatchShuffle
from robustpeft.types import L2, Linf, Patch


def test_every_norm_perturbation_and_corruption_has_a_range():
    for kind, names in (("attack", NORMS), ("perturbation", PERTURBATION_NAMES), ("corruption", tuple(CORRUPTIONS))):
        for name in names:
            reach = range_of(kind, name)
            assert reach.low <= reach.usual <= reach.high


@pytest.mark.parametrize("name", ATTACK_NAMES)
def test_every_attack_is_made_with_its_steps(name):
    attack = Question("attack", name, 0.1, steps=7).attack()
    steps = Steps.of(name)
    assert steps is None or getattr(attack, steps.field) == 7


def test_who_has_steps():
    assert Question("attack", "pgd", 0.1, steps=7).attack() == PGD(steps=7)
    assert Question("attack", "square", 0.1, steps=7).attack() == Square(queries=7)
    assert Question("attack", "autoattack", 0.1).attack() == AutoAttack()
    assert Steps.of("fgsm") is None


def test_threats():
    assert Question("attack", "pgd", 8 / 255).threat() == Linf(8 / 255)
    assert Question("attack", "pgd", 0.5, norm="l2").threat() == L2(0.5)
    assert Question("attack", "pgd", 0.2, norm="patch").threat() == Patch(share=0.2)
    assert Question("attack", "pgd", 0.0).threat() is None


@pytest.mark.parametrize("name", PERTURBATION_NAMES)
def test_every_perturbation_works_over_its_whole_range(name):
    reach = range_of("perturbation", name)
    images = torch.rand(1, 3, 12, 24, generator=torch.Generator().manual_seed(0))
    for strength in (reach.low, reach.usual, reach.high):
        changed = Question("perturbation", name, strength / reach.unit).perturbation(4, (12, 24))(images)
        assert changed.shape == images.shape


def test_what_a_strength_means():
    assert Question("perturbation", "gaussian_noise", 25 / 255).perturbation(4, (8, 8)) == GaussianNoise(25 / 255)
    assert Question("perturbation", "patch_drop", 0.3).perturbation(4, (8, 8)) == PatchDrop(0.3, patch_size=4)


@pytest.mark.parametrize(
    ("asked", "size", "rows"), [(4, (16, 16), 4), (5, (16, 16), 4), (9, (28, 14), 7), (16, (6, 9), 3)]
)
def test_a_grid_becomes_one_that_divides_the_image(asked, size, rows):
    assert Question("perturbation", "patch_shuffle", asked).perturbation(4, size) == PatchShuffle(rows)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("attack", "pgd", 65 / 255), "from 0 to 64; got 65"),
        (("attack", "pgd", float("nan")), "from 0 to 64"),
        (("attack", "pgd", -0.1), "from 0 to 64"),
        (("attack", "pgd", 0.1, "l3"), "unknown norm 'l3'"),
        (("attack", "pgd", 0.1, "linf", 0), "steps must be from 1"),
        (("attack", "pgd", 0.1, "linf", 20, -1), "seed must be"),
        (("corruption", "fog", 6), "from 0 to 5; got 6"),
        (("corruption", "rain", 3), "unknown corruption 'rain'"),
        (("perturbation", "corruption", 3), "unknown perturbation"),
        (("spell", "fog", 3), "unknown kind 'spell'"),
    ],
)
def test_what_is_out_of_range_is_refused(fields, message):
    with pytest.raises(UserError, match=message):
        Question(*fields)


def test_a_page_cannot_name_a_module_to_be_imported():
    with pytest.raises(UserError, match="unknown attack 'antigravity:Attack'"):
        Question("attack", "antigravity:Attack", 0.1).attack()
    assert "antigravity" not in sys.modules
