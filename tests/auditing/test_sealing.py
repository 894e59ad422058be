import dataclasses
import subprocess
import sys

import pytest
import torch

from robustpeft.attacks import FGSM, PGD
from robustpeft.auditing import AuditPlan
from robustpeft.auditing.conditions import conditions_of
from robustpeft.auditing.sealing import pixel_digest, plan_of, seal_audit, smallest_counts
from robustpeft.data.image_store import InMemory
from robustpeft.data.split import Split
from robustpeft.errors import UserError
from robustpeft.perturbations import PixelDrop

PLAN = AuditPlan(epsilons=(0.01, 0.02), attacks=(FGSM(), PGD(steps=3)), corruptions=(3,))
SAID = {"seed": 0, "classes": ("a", "b"), "image_size": (4, 4)}


@pytest.fixture
def sealed(make_linear, make_split):
    def make(model=None, split=None, plan=PLAN, **changes):
        return seal_audit(model or make_linear(2), split or make_split(), plan, **(SAID | changes))

    return make


ELSEWHERE = """
import sys
sys.path.insert(0, {path!r})
from conftest import Linear
import torch
from robustpeft.attacks import FGSM, PGD
from robustpeft.auditing import AuditPlan
from robustpeft.auditing.sealing import seal_audit
from robustpeft.data.image_store import InMemory
from robustpeft.data.split import Split
generator = torch.Generator().manual_seed(0)
pixels = torch.randint(77, 179, (90, 3, 4, 4), generator=generator, dtype=torch.uint8)
split = Split(InMemory(pixels), torch.arange(90), torch.arange(90) % 2, 1000 + 7 * torch.arange(90))
plan = AuditPlan(epsilons=(0.01, 0.02), attacks=(FGSM(), PGD(steps=3)), corruptions=(3,))
print(seal_audit(Linear(2), split, plan, seed=0, classes=("a", "b"), image_size=(4, 4)).digest)
"""


@pytest.mark.slow
def test_another_process_in_another_place_gives_the_same_seal(sealed, request, tmp_path):
    code = ELSEWHERE.format(path=str(request.path.parent))
    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == sealed().digest


@pytest.mark.parametrize("changes", [{"batch_size": 3}, {"gallery": 0}, {"keep_images": False}, {"images": 5000}])
def test_what_has_no_influence_is_not_sealed(sealed, changes):
    assert sealed(plan=dataclasses.replace(PLAN, **changes)) == sealed()


def test_equal_plans_have_one_seal(sealed):
    written_out = dataclasses.replace(PLAN, perturbations=PLAN.perturbations_for((4, 4)), corruptions=())
    assert sealed(plan=written_out) == sealed()
    whole, real = (dataclasses.replace(PLAN, norm="l2", epsilons=(1, radius)) for radius in (2, 2.0))
    assert sealed(plan=whole).digest == sealed(plan=real).digest


def test_a_seal_says_that_what_fmn_finds_counts_and_is_the_same_plan_again(sealed):
    plan = dataclasses.replace(PLAN, minimal_norms=True, perturbations=(), corruptions=())
    seal = sealed(plan=plan)
    assert smallest_counts(seal)
    assert plan_of(seal).minimal_norms is True
    earlier = dataclasses.replace(seal, plan=dict(seal.plan) | {"minimal_norms": True})
    assert not smallest_counts(earlier)
    assert plan_of(earlier) == plan_of(seal)
    assert sealed().plan["minimal_norms"] is False


@pytest.mark.parametrize(
    "changes",
    [
        {"epsilons": (0.01, 0.03)},
        {"norm": "l2"},
        {"attacks": (FGSM(), PGD(steps=4))},
        {"attacks": (PGD(steps=3), FGSM())},
        {"perturbations": (PixelDrop(0.1),)},
        {"corruptions": ()},
        {"checks": "none"},
    ],
)
def test_every_part_of_the_plan_is_sealed(sealed, changes):
    assert sealed(plan=dataclasses.replace(PLAN, **changes)).digest != sealed().digest


def test_images_model_and_seed_are_sealed(sealed, make_linear, make_split):
    split, seals = make_split(), [sealed()]
    pixels = torch.stack([split[place] for place in range(len(split))])
    pixels[7, 0, 0, 0] += 1
    seals.append(sealed(split=Split(InMemory(pixels), split.rows, split.labels, split.ids)))
    seals.append(sealed(split=split.subset(torch.arange(90).flip(0))))
    seals.append(sealed(split=split.subset(torch.arange(89))))
    seals.append(sealed(model=make_linear(2, seed=1)))
    seals.append(sealed(seed=1))
    seals.append(sealed(classes=("b", "a")))
    assert len({seal.digest for seal in seals}) == len(seals)


def test_the_pixels_digest_does_not_depend_on_batches(make_split):
    split = make_split(130)

    class InThrees:
        def batches(self, *_):
            return split.batches(3)

    assert pixel_digest(InThrees()) == pixel_digest(split)


def test_a_seal_becomes_the_plan_again(sealed):
    again = plan_of(sealed())
    assert conditions_of(again, (4, 4)) == conditions_of(PLAN, (4, 4))
    assert (again.checks, again.threats) == (PLAN.checks, PLAN.threats)


@pytest.mark.parametrize(
    "changes",
    [
        {"norm": "not_there.at_all:Norm"},
        {"norm": "not_there.at_all:Norm:share=0.2"},
        {"attacks": [{"name": "not_there.at_all:Attack"}]},
        {"attacks": [{"name": "pgd", "loss": "not_there.at_all:Loss"}]},
        {"perturbations": [{"name": "not_there.at_all:Change"}]},
    ],
)
def test_classes_of_others_are_imported_only_if_trusted(sealed, changes):
    seal = sealed()
    strange = dataclasses.replace(seal, plan=dict(seal.plan) | changes)
    with pytest.raises(UserError, match=r"names not_there.at_all:[\w:.=]+, which is not part of robustpeft"):
        plan_of(strange)
    with pytest.raises(UserError, match="cannot import"):
        plan_of(strange, trust=True)
