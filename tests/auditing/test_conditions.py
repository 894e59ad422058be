from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from robustpeft.attacks import FGSM, PGD
from robustpeft.attacks.ensemble import Ensemble
from robustpeft.auditing import AuditPlan
from robustpeft.auditing.conditions import conditions_of
from robustpeft.data.split import Batch
from robustpeft.perturbations import GaussianNoise, PatchDrop, PatchShuffle


@dataclass(frozen=True)
class Idle(Ensemble):
    cost: ClassVar[str] = "nothing"

    def stages(self, classes):
        return ()


def by_key(**fields):
    plan = AuditPlan(**{"epsilons": (0.1,), "perturbations": (), **fields})
    return {c.key: c for c in conditions_of(plan, (8, 8))}


def test_keys_say_what_was_done():
    attacks = (FGSM(), PGD())
    keys = list(by_key(epsilons=(2 / 255, 0.1), attacks=attacks, perturbations=(PatchDrop(0.3), PatchShuffle(4))))
    assert keys == [
        "clean",
        "fgsm@linf:2/255",
        "fgsm@linf:0.1",
        "pgd@linf:2/255",
        "pgd@linf:0.1",
        "patch_drop@0.3",
        "patch_shuffle@4",
    ]


def test_keys_of_equal_names_are_numbered():
    attacks = (PGD(steps=5), PGD(steps=5, restarts=2))
    drops = (PatchDrop(0.3, patch_size=2), PatchDrop(0.3, patch_size=4))
    found = by_key(attacks=attacks, perturbations=drops)
    assert list(found) == ["clean", "pgd@linf:0.1", "pgd@linf:0.1#2", "patch_drop@0.3", "patch_drop@0.3#2"]
    assert found["pgd@linf:0.1#2"].change == attacks[1]


def test_an_attack_of_ones_own_is_named_by_its_path():
    (condition,) = (c for c in by_key(attacks=(Idle(),)).values() if c.kind == "attack")
    assert condition.name == f"{Idle.__module__}:Idle"


def test_settings_are_the_plain_fields():
    found = by_key(attacks=(FGSM(loss="margin"),), perturbations=(PatchDrop(0.3, fill=(0.1, 0.2, 0.3)),))
    attack, drop = found["fgsm@linf:0.1"], found["patch_drop@0.3"]
    assert (attack.kind, attack.name, attack.settings) == ("attack", "fgsm", {"loss": "margin"})
    assert (attack.plain_threat, attack.strength) == ({"norm": "linf", "epsilon": 0.1}, 0.1)
    assert (drop.kind, drop.plain_threat, drop.strength) == ("perturbation", None, 0.3)
    assert drop.settings["fill"] == [0.1, 0.2, 0.3]
    assert found["clean"].settings == {}


def test_every_default_perturbation_is_a_condition():
    assert len(by_key(perturbations=None)) > 12


def test_clean_images_are_given_as_they_are():
    batch = Batch(torch.rand(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64), torch.arange(2))
    assert torch.equal(by_key()["clean"].apply(batch, 0), batch.images)


def test_chance_is_keyed_by_the_seed_and_the_ids_of_the_images():
    batch = Batch(torch.full((2, 3, 8, 8), 0.5), torch.zeros(2, dtype=torch.int64), torch.tensor([41, 7]))
    noisy = by_key(perturbations=(GaussianNoise(0.1),))["gaussian_noise@0.1"].apply(batch, 5)
    assert torch.equal(noisy, GaussianNoise(0.1)(batch.images, seed=5, ids=torch.tensor([41, 7])))


def test_an_attack_is_left_to_the_driver():
    batch = Batch(torch.rand(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64), torch.arange(2))
    with pytest.raises(ValueError, match="is an attack"):
        by_key()["pgd@linf:0.1"].apply(batch, 0)
