"""Points of an axis, and the sizes that techniques have within one budget."""

import pytest
import torch

from robustpeft.backbones import Backbone
from robustpeft.errors import UserError
from robustpeft.study.grid import Study, arms_of

NAMES = ("lora", "adapter", "adaptformer", {"name": "vpt", "deep": True})
BUDGETS = ["4.2k", 6200, "8.8k", "12.5k", "17k"]


def study(points, **changes):
    return Study(**{"name": "s", "base": "lora-digits", "axes": {"method": tuple(points)}, **changes})


@pytest.mark.parametrize("name", NAMES, ids=str)
def test_a_technique_is_brought_to_every_budget_and_counts_as_many_as_it_says(name):
    arms = arms_of(study([{"label": "X", "value": name, "budgets": BUDGETS}], budget_tolerance=0.15))
    assert [arm.label for arm in arms] == [f"X {budget}" for budget in BUDGETS]
    assert {arm.group for arm in arms} == {"X"}
    assert [arm.budget for arm in arms] == [4200, 6200, 8800, 12_500, 17_000]
    for arm in arms:
        model = arm.recipe.backbone.load()
        before = {name for name, _ in model.named_parameters()}
        handle = arm.recipe.method.attach(model)
        added = sum(p.numel() for n, p in handle.named_parameters().items() if "head" not in n)
        assert 0.85 * arm.budget <= added <= arm.budget
        handle.detach()
        assert {name for name, _ in model.named_parameters()} == before


def test_what_cannot_come_near_the_budget_is_refused_with_what_it_would_have():
    point = {"label": "A", "value": "adapter", "budgets": ["2.5k"]}
    with pytest.raises(UserError, match=r"grid 'main', arm 'A 2.5k': with bottleneck=1 it has 1,544 parameters, 38 %"):
        arms_of(study([point]))
    assert arms_of(study([point], budget_tolerance=0.4))[0].recipe.method.bottleneck == 1


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ({"label": "A", "value": "adapter", "budgets": [100]}, "bottleneck = 1 has 1,544 parameters, more than 100"),
        ({"label": "A", "value": "full", "budgets": [100]}, "has no size that could be solved for"),
        ({"label": "A", "value": "lora", "budgets": []}, "budgets is a list of numbers of parameters"),
        ({"label": "A", "value": "lora", "budgets": "10k"}, "budgets is a list of numbers of parameters"),
        ({"label": "A", "value": "lora", "budgets": ["many"]}, "a budget is a number of parameters"),
        ({"label": "A", "value": "lora", "budget": [3]}, "select and budgets; got"),
    ],
)
def test_budgets_that_make_no_sense_say_why(point, said):
    with pytest.raises(UserError, match=said):
        arms_of(study([point]))


def test_a_tolerance_is_a_share():
    with pytest.raises(UserError, match="budget_tolerance is a share"):
        study(["lora"], budget_tolerance=1.0)


def test_solving_reads_no_weights_and_leaves_chance_alone(monkeypatch):
    monkeypatch.setattr("robustpeft.backbones.load.read_weights", lambda path: pytest.fail("weights were read"))
    state = torch.get_rng_state()
    point = {"label": "A", "value": "lora", "budgets": ["40k"]}
    arm = arms_of(study([point], set={"backbone": {"name": "vit_tiny_patch16_224", "image_size": 112}}))[0]
    assert arm.recipe.method.r == 4
    assert arm.recipe.backbone == Backbone("vit_tiny_patch16_224", image_size=112)
    assert torch.equal(torch.get_rng_state(), state)
