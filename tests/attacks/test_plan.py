import dataclasses

import pytest
import torch

from robustpeft.attacks import ATTACKS, FGSM, PGD, AttackPlan
from robustpeft.attacks.ensemble import Ensemble, stage_stream
from robustpeft.errors import UserError
from robustpeft.types import L2, Linf


@dataclasses.dataclass(frozen=True)
class Three(Ensemble):
    cost = "those of its stages"

    def stages(self, classes):
        return FGSM(), PGD(steps=classes), PGD(steps=5)


PLAN = AttackPlan((PGD(), Three()), (Linf(1 / 255), Linf(8 / 255), L2(0.5)))


def test_stages_come_attack_by_attack_threat_by_threat_each_with_a_name_of_its_own():
    stages = PLAN.stages(10, dict(ATTACKS))
    places = [(stage.attack, stage.threat, stage.number) for stage in stages]
    assert places == sorted(places)
    assert len(places) == 3 * (1 + 3)
    keys = [stage.key(PLAN) for stage in stages]
    assert len(set(keys)) == len(keys)
    assert keys[1] == "0.pgd@linf 8/255"
    assert keys[3].endswith(":Three/0.fgsm@linf 1/255")
    assert keys[-1].endswith(":Three/2.pgd@l2 0.5")
    assert keys[-1].startswith("1.")
    assert stages[4].search == PGD(steps=10)


def test_two_stages_of_one_class_use_different_chance_and_a_search_alone_its_own():
    stages = PLAN.stages(10, dict(ATTACKS))
    assert [stage.stream for stage in stages[3:6]] == ["FGSM", "PGD/1", "PGD/2"]
    assert stages[0].stream == stage_stream(0, PGD()) == "PGD"


def test_the_widest_and_the_narrow_come_after_all_others_within_the_last_threat():
    plan = AttackPlan((PGD(), FGSM()), (Linf(0.1), Linf(0.2)), widest=(PGD(steps=9),), narrow=(PGD(steps=8),))
    stages = plan.stages(10, dict(ATTACKS))
    assert [(s.attack, s.threat) for s in stages] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (3, 1)]
    assert [s.search.steps for s in stages[-2:]] == [9, 8]
    assert [plan.spares(attack) for attack in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("attacks", "threats", "sentence"),
    [
        ((), (Linf(0.1),), "at least one attack and one threat"),
        ((PGD(),), (), "at least one attack and one threat"),
        ((PGD(),), (Linf(0.2), Linf(0.1)), "ascending epsilon; linf 0.1 follows linf 0.2"),
        ((PGD(),), (Linf(0.1), Linf(0.1)), "ascending epsilon; linf 0.1 follows linf 0.1"),
        ((PGD(),), (Linf(0.2), L2(0.2), Linf(0.1)), "ascending epsilon; linf 0.1 follows linf 0.2"),
        ((PGD(),), (Linf(0.1), Linf(0.1 + 1e-9)), "two threats have one name, linf 0.1"),
    ],
)
def test_a_plan_without_a_meaning_is_refused(attacks, threats, sentence):
    with pytest.raises(UserError, match=sentence):
        AttackPlan(attacks, threats)


def test_norms_may_come_in_any_order():
    AttackPlan((PGD(),), (L2(0.5), Linf(0.1), L2(0.7), Linf(0.3)))


def test_a_part_of_the_images_is_for_narrow_attacks_beside_others():
    plan = AttackPlan((FGSM(),), (Linf(0.1), Linf(0.2)), seed=4, widest=(PGD(),), narrow=(PGD(steps=3),))
    labels, ids = torch.arange(30) % 3, torch.arange(30) * 2
    assert all(plan.images_of(attack, labels, ids) == set(ids.tolist()) for attack in range(3))
    part = dataclasses.replace(plan, narrow_images=6)
    assert [len(part.images_of(attack, labels, ids)) for attack in range(3)] == [30, 30, 6]
    chosen = part.images_of(2, labels, ids)
    assert sorted(labels[i // 2].item() for i in chosen) == [0, 0, 1, 1, 2, 2]
    assert dataclasses.replace(part, seed=5).images_of(2, labels, ids) != chosen
    least = AttackPlan((FGSM(),), (Linf(0.1),), narrow=(PGD(),), narrow_images=1)
    assert [len(least.images_of(attack, labels, ids)) for attack in range(2)] == [30, 1]
    for wrong, message in (({"narrow_images": 0}, "at least 1"), ({"attacks": (), "widest": ()}, "give attacks too")):
        with pytest.raises(UserError, match=message):
            dataclasses.replace(part, **wrong)
