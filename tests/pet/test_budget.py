import dataclasses

import pytest
import torch
from hypothesis import given, settings, strategies as st

from robustpeft.backbones import Backbone
from robustpeft.errors import UserError
from robustpeft.pet import (
    SSF,
    VPT,
    Adapter,
    AdapterPlus,
    AdaptFormer,
    BitFit,
    FullLoRA,
    LastBlocks,
    LNLoRA,
    LoRA,
    PeftLoRA,
    PerHeadLoRA,
    RankRule,
)
from robustpeft.pet.budget import parameters_from_text, size_field, solve_budget

SIZED = (
    (LoRA(), 64),
    (LoRA(alpha=3.0, components=("fc1", "q")), 64),
    (LNLoRA(norm="after"), 64),
    (FullLoRA(), 48),  # the patches of the digits have 3 x 4 x 4 pixels
    (FullLoRA(patch_embed=False, rank_pattern=(RankRule(2, ("q",)),)), 64),
    (PeftLoRA(target_modules=("fc2", "qkv")), 64),
    (PerHeadLoRA(), 16),
    (LastBlocks(), 4),
    (Adapter("pfeiffer"), None),
    (AdaptFormer(blocks=(0, -1)), None),
    (AdapterPlus(), None),
    (VPT(deep=True), None),
)


def digits(device="cpu"):
    with torch.device(device):
        return Backbone("digits_vit", weights=False).load()


MODEL = digits("meta")


def resized(method, size):
    return dataclasses.replace(method, **{size_field(method): size})


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(SIZED), st.integers(400, 400_000))
def test_the_solution_is_the_largest_size_within_the_budget_that_the_network_takes(case, budget):
    method, largest = case
    smallest = resized(method, 1).count(MODEL)
    if smallest > budget:
        with pytest.raises(UserError, match=rf"{type(method).__name__} with \w+ = 1 has {smallest:,} parameters, more"):
            solve_budget(method, MODEL, budget)
        return
    solved = solve_budget(method, MODEL, budget)
    size = getattr(solved, size_field(method))
    assert solved == resized(method, size)
    assert solved.count(MODEL) <= budget
    assert size == largest or budget < resized(method, size + 1).count(MODEL)
    assert largest is None or size <= largest


@pytest.mark.parametrize("method", [method for method, _ in SIZED], ids=repr)
def test_a_budget_that_is_met_exactly_is_met_and_one_less_is_not(method):
    exact = resized(method, 3).count(MODEL)
    assert solve_budget(method, MODEL, exact) == resized(method, 3)
    assert solve_budget(method, MODEL, exact - 1) == resized(method, 2)


def test_shapes_alone_decide_and_the_model_is_left_alone():
    model = digits()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert solve_budget(LNLoRA(), model, 50_000) == solve_budget(LNLoRA(), MODEL, 50_000) == LNLoRA(r=9)
    assert not model.attachments
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_the_sizes_are_r_bottleneck_num_prompts_and_k():
    assert {size_field(method) for method, _ in SIZED} == {"r", "bottleneck", "num_prompts", "k"}
    assert size_field(BitFit()) is size_field(SSF()) is None


def test_without_a_size_there_is_nothing_to_solve():
    with pytest.raises(UserError, match=r"BitFit\(\) has no size that could be solved for; it has 2,944 parameters"):
        solve_budget(BitFit(), MODEL, 5_000)


def test_what_the_network_does_not_take_in_any_size_is_refused_for_its_own_reason():
    with torch.device("meta"):
        model = Backbone("convit_tiny", weights=False).load()
    with pytest.raises(UserError, match="take no sequence of tokens"):
        solve_budget(VPT(), model, 1_000_000)
    with pytest.raises(UserError, match="no layer of digits_vit is called 'missing'"):
        solve_budget(PeftLoRA(target_modules=("missing",)), MODEL, 1_000_000)


def test_a_size_without_influence_on_the_count_ends_somewhere():
    always = LoRA(components=("q",), rank_pattern=(RankRule(2, ("q",)),))
    assert solve_budget(always, MODEL, 100_000).r == 1 << 20


@pytest.mark.parametrize(
    ("text", "number"),
    [("300k", 300_000), ("1.5M", 1_500_000), ("300_000", 300_000), ("20,000", 20_000), ("7", 7), ("1", 1)],
)
def test_a_budget_is_typed_as_people_write_numbers(text: str, number: int) -> None:
    assert parameters_from_text(text) == number


@pytest.mark.parametrize("text", ["", "k", "many", "-5", "0", "3g", "1e6", "0.1"])
def test_other_budgets_are_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"such as 300k, 1\.5M or 300_000; got"):
        parameters_from_text(text)
