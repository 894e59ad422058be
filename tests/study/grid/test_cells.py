import dataclasses
import pickle
import sys

import pytest

from robustpeft.auditing import AuditPlan
from robustpeft.errors import UserError
from robustpeft.pet import FullLoRA, LoRA
from robustpeft.study.grid import Cell, Contrast, Study, arms_of
from robustpeft.study.recipe import read_recipe, with_settings

MINE = """
from dataclasses import dataclass
from robustpeft.pet.base import PETMethod

@dataclass(frozen=True)
class FirstBiases(PETMethod):
    blocks: int = 1

    def modules(self, model, seed):
        return {}

    def thawed(self, model):
        names = [f"blocks.{i}." for i in range(self.blocks)]
        return {n for n, _ in model.network.named_parameters() if n.endswith(".bias") and n.startswith(tuple(names))}

    def count(self, model):
        return sum(p.numel() for n, p in model.network.named_parameters() if n in self.thawed(model))
"""


def study(**changes):
    return Study(**{"name": "s", "base": "fulllora-digits", "axes": {"method": ("lora", "full")}, **changes})


def test_arms_are_every_combination_in_the_order_of_the_file():
    arms = arms_of(study(axes={"method": ("lora", {"name": "fulllora", "r": 3}), "threat.epsilon": ("8/255", 0.1)}))
    assert [arm.label for arm in arms] == [
        "lora, epsilon=8/255",
        "lora, epsilon=0.1",
        "fulllora r=3, epsilon=8/255",
        "fulllora r=3, epsilon=0.1",
    ]
    assert arms[2].coordinates == {"method": "fulllora r=3", "threat.epsilon": "epsilon=8/255"}
    assert (arms[2].recipe.method, arms[2].recipe.threat.epsilon) == (FullLoRA(r=3), 8 / 255)


def test_a_point_may_set_several_keys_and_name_group_and_trials():
    point = {"label": "plain", "set": {"method": "lora", "objective": "natural"}, "group": "low rank"}
    point["select"] = {"training.learning_rate": [0.5, 0.6]}
    chosen = {"training.learning_rate": (0.1, 0.2)}
    first, second = arms_of(study(axes={"arm": (point, {"label": "robust", "set": {"method.r": 2}})}, select=chosen))
    assert (first.label, first.group, first.recipe.method) == ("plain", "low rank", LoRA())
    assert not first.recipe.objective.adversarial
    assert first.candidates() == ({"training.learning_rate": 0.5}, {"training.learning_rate": 0.6})
    assert (second.group, second.recipe.method.r) == ("robust", 2)
    assert second.candidates()[0] == {"training.learning_rate": 0.1}


def test_a_grid_sets_over_the_study_and_a_point_over_both():
    grids = {"more": {"axes": {"training.epochs": [4]}, "set": {"training.epochs": 3, "training.clip": 2.0}}}
    grids["more"] |= {"seeds": [9], "select": {}}
    made = study(grids=grids, set={"training.clip": 3.0, "training.batch_size": 7}, select={"seed": (1, 2)})
    main, _, more = arms_of(made)
    assert (main.recipe.training.clip, main.recipe.training.batch_size) == (3.0, 7)
    plan = more.recipe.training
    assert (plan.epochs, plan.clip, plan.batch_size, more.seeds, more.trials()) == (4, 2.0, 7, (9,), ())


def test_trials_are_all_combinations_on_the_seed_of_selection_and_runs_on_theirs():
    select = {"training.learning_rate": (0.1, 0.2), "training.weight_decay": (0.0, 0.5)}
    arm = arms_of(study(select=select, select_seed=7))[0]
    assert [settings for settings, _ in arm.trials()] == [
        {"training.learning_rate": a, "training.weight_decay": b} for a in (0.1, 0.2) for b in (0.0, 0.5)
    ]
    assert {cell.recipe.seed for _, cell in arm.trials()} == {7}
    runs = arm.runs({"training.learning_rate": 0.3})
    assert [(cell.recipe.seed, cell.recipe.training.learning_rate) for cell in runs] == [(1, 0.3), (2, 0.3), (3, 0.3)]
    assert runs[1].title == "lora, learning_rate 0.3, seed 2"


def test_without_a_plan_the_audit_suits_the_threat_or_the_lack_of_one():
    robust, natural = arms_of(study(axes={"objective": ("pgd_at", "natural")}))
    assert robust.audit.epsilons[-1] == 0.1
    assert natural.audit.epsilons[-1] == 2 / 255


def test_the_identity_is_of_what_the_result_depends_on_and_of_nothing_else():
    recipe = read_recipe("fulllora-digits")
    cell = Cell(recipe, None)
    assert cell.identity == Cell(with_settings(recipe, {}), None, "called otherwise").identity
    others = [Cell(with_settings(recipe, {key: 3}), None) for key in ("seed", "method.r", "training.epochs")]
    others.append(Cell(recipe, arms_of(study())[0].audit))
    assert len({cell.identity, *(other.identity for other in others)}) == 5
    assert pickle.loads(pickle.dumps(cell)).identity == cell.identity


def test_what_lies_in_a_store_keeps_its_name():
    """A change here makes every experiment of every store be run again: then `_LAYOUT` says so."""
    recipe, plan = read_recipe("lora-digits"), AuditPlan(epsilons=(0.1,))
    assert Cell(recipe, plan).identity == "d338139be909016c"
    assert Cell(dataclasses.replace(recipe, audit=plan), None).identity == "64f25b0c06e0271e"


def test_a_technique_of_ones_own_is_named_by_module_and_class(tmp_path, monkeypatch):
    (tmp_path / "my_techniques.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    arms = arms_of(study(axes={"method": ("lora", {"name": "my_techniques:FirstBiases", "blocks": 2})}))
    assert arms[1].label == "my_techniques:FirstBiases blocks=2"
    assert arms[1].recipe.method == sys.modules["my_techniques"].FirstBiases(blocks=2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"axes": {"methd": ("lora",)}}, "unknown key 'methd'; did you mean 'method'"),
        ({"axes": {"method": ("lora", "lora")}}, "two arms called 'lora'"),
        ({"axes": {"method": ({"label": "a", "value": "lora", "sett": 1},)}}, r"\['sett'\]"),
        ({"axes": {"method": ({"label": "a", "set": 3},)}}, "set must be a mapping"),
        ({"axes": {"method": ({"label": "a", "value": "lora", "select": {"seed": 3}},)}}, "select holds lists"),
        ({"select": {"training.learning_rate": ()}}, "nothing to try"),
        ({"comparisons": (Contrast("lora", ("fill",)),)}, "no arm 'fill'"),
        ({"comparisons": (Contrast("lora", grid="other"),)}, "grid 'other' has no arm 'lora'"),
        ({"grids": {"more": {"axis": {}}}}, "grids.more.axis"),
        (
            {"headline": 0.3, "audit": AuditPlan(epsilons=(0.1, 0.2))},
            "0.3 is no epsilon of the audit of 'lora'; it has 0.1",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(changes, said):
    with pytest.raises(UserError, match=said):
        arms_of(study(**changes))


def test_arms_with_different_numbers_of_trials_are_refused():
    fair = {"label": "a", "value": "lora", "select": {"training.learning_rate": [0.1]}}
    with pytest.raises(UserError, match="every arm needs the same number of trials"):
        arms_of(study(axes={"method": (fair, "full")}, select={"training.learning_rate": (0.1, 0.2)}))


def test_settings_of_one_arm_do_not_leak_into_another():
    value = {"name": "fulllora", "r": 3}
    base = read_recipe("fulllora-digits")
    changed = with_settings(base, {"method": value, "method.r": 5})
    assert (changed.method.r, value["r"]) == (5, 3)
    assert dataclasses.replace(changed, method=base.method) == base
