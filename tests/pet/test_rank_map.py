import pytest
import torch
from hypothesis import given, settings, strategies as st

from robustpeft.pet import FullLoRA, LoRA, RankRule, rank_map
from robustpeft.pet.rank_map import _shared
from robustpeft.types import COMPONENTS, UserError

MAPS = ("q", "k", "v", "proj", "fc1", "fc2")
LABELS = torch.tensor([0, 1, 2])


def total(model, rules, components=MAPS):
    return sum(r * len(blocks or (None,)) for r, blocks in ((rule.r, rule.blocks) for rule in rules))


def test_where_only_one_map_matters_it_gets_all_it_can_hold(build, images):
    model = build()
    with torch.no_grad():  # the MLP of block 1 is all that reaches the stream: its fc2 is 0, so fc1 has no gradient
        for name, parameter in model.network.named_parameters():
            if "attn.proj" in name or "mlp.fc2" in name:
                parameter.zero_()
        model.network.blocks[0].norm2.weight.zero_()
        model.network.blocks[0].norm2.bias.zero_()
        model.network.blocks[0].mlp.fc1.bias.zero_()
    rules = rank_map(model, images, LABELS, components=("fc1", "fc2"), mean_r=3)
    assert rules == (RankRule(0, ("fc1",), (0, 1)), RankRule(0, ("fc2",), (0,)), RankRule(12, ("fc2",), (1,)))
    handle = LoRA(components=("fc1", "fc2"), rank_pattern=rules).attach(model)
    assert handle.added_names() == {f"blocks.1.mlp.fc2.adapter.{m}.fc2" for m in "AB"}


def test_the_ranks_are_in_proportion_to_the_gradients(model, images):
    weights = [model.network.get_submodule(f"blocks.{i}.attn.qkv").weight for i in (0, 1)]
    loss = torch.nn.functional.cross_entropy(model(images), LABELS)
    gradients = torch.autograd.grad(loss, weights)
    scores = {
        (c, i): float(g[32 * n : 32 * (n + 1)].norm()) for i, g in enumerate(gradients) for n, c in enumerate("qkv")
    }
    rules = rank_map(model, images, LABELS, components=("q", "k", "v"), mean_r=10)
    found = {(rule.components[0], block): rule.r for rule in rules for block in rule.blocks}
    assert found.keys() == scores.keys()
    assert sum(found.values()) == 60
    assert max(found.values()) < 32  # no limit in the way
    for key, r in found.items():
        assert abs(r - 60 * scores[key] / sum(scores.values())) < 1


def test_all_maps_share_and_the_patch_embedding_is_named_without_a_block(model, images):
    rules = rank_map(model, images, LABELS, components=COMPONENTS, mean_r=4)
    assert total(model, rules) == 4 * (6 * 2 + 1)
    assert [rule.blocks for rule in rules if rule.components == ("patch_embed",)] == [None]
    method = FullLoRA(rank_pattern=rules)
    count = method.count(model)
    assert method.attach(model).num_parameters == count + 5 * 33


def test_the_model_is_left_as_it_was_and_the_same_images_give_the_same_map(build, images):
    model = build().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for parameter in list(model.parameters())[::2]:
        parameter.requires_grad_(False)
    required = [p.requires_grad for p in model.parameters()]
    state = torch.get_rng_state()
    with torch.no_grad():
        one = rank_map(model, images, LABELS)
    assert one == rank_map(model, images, LABELS) == rank_map(model.eval(), images, LABELS)
    assert torch.equal(torch.get_rng_state(), state)
    assert [p.requires_grad for p in model.parameters()] == required
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(module.training for module in build().train().modules())


def test_it_depends_on_the_images(model, images):
    assert rank_map(model, images, LABELS) != rank_map(model, 1 - images, LABELS)


def test_unlike_maps_are_scored_whole_and_a_single_rank_goes_to_the_hardest_pulled(model, images):
    names = [(f"blocks.{i}.mlp.fc1", ("fc1", i)) for i in (0, 1)] + [(f"blocks.{i}.attn.qkv", ("v", i)) for i in (0, 1)]
    weights = [model.network.get_submodule(name).weight for name, _ in names]
    gradients = torch.autograd.grad(torch.nn.functional.cross_entropy(model(images), LABELS), weights)
    pulls = {
        site: float(g[64:].norm() if site[0] == "v" else g.norm())
        for (_, site), g in zip(names, gradients, strict=True)
    }
    rules = rank_map(model, images, LABELS, components=("v", "fc1"), mean_r=0.25)
    assert [(rule.components[0], *rule.blocks) for rule in rules if rule.r] == [max(pulls, key=pulls.get)]


def test_labels_are_checked_against_the_images_and_the_classes(model, images):
    with pytest.raises(UserError, match="labels"):
        rank_map(model, images, LABELS[:2])
    with pytest.raises(UserError, match="labels"):
        rank_map(model, images, torch.tensor([0, 1, model.num_classes]))


def test_the_mean_rank_is_8_unless_told(model, images):
    assert total(model, rank_map(model, images, LABELS)) == 8 * 12


@pytest.mark.parametrize("mean_r", [0, -1, 33])
def test_ranks_that_do_not_fit_are_refused(model, images, mean_r):
    with pytest.raises(UserError, match=f"mean_r must be positive and at most 32, .*; got {mean_r}"):
        rank_map(model, images, LABELS, mean_r=mean_r)
    assert {rule.r for rule in rank_map(model, images, LABELS, mean_r=32)} == {32}


def test_a_model_with_something_attached_is_refused(model, images):
    LoRA(r=2).attach(model)
    with pytest.raises(UserError, match="of the bare network, but something is attached"):
        rank_map(model, images, LABELS)


@pytest.mark.parametrize(("value", "message"), [(0.0, "is 0 at"), (float("nan"), "is not finite at")])
def test_a_gradient_that_says_nothing_is_refused(model, images, value, message):
    with torch.no_grad():
        model.network.head.weight.fill_(value)
    with pytest.raises(UserError, match=message):
        rank_map(model, images, LABELS)


@given(data=st.data(), limits=st.lists(st.integers(1, 20), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_the_shares_sum_to_the_total_within_the_limits_and_follow_the_scores(data, limits):
    scores = data.draw(st.lists(st.floats(0, 10), min_size=len(limits), max_size=len(limits)))
    whole = data.draw(st.integers(1, sum(limits)))
    ranks = _shared(whole, scores, limits)
    assert sum(ranks) == whole
    assert all(0 <= r <= limit for r, limit in zip(ranks, limits, strict=True))
    for i, one in enumerate(ranks):
        for j, other in enumerate(ranks):
            if scores[i] > scores[j] and one < limits[i]:
                assert one >= min(other, limits[j]) or other - one <= 1


@pytest.mark.parametrize(
    ("whole", "scores", "limits", "wanted"),
    [
        (10, [1, 1], [8, 8], [5, 5]),
        (10, [3, 1], [8, 8], [8, 2]),
        (10, [8, 1, 1], [4, 8, 8], [4, 3, 3]),
        (10, [1, 0, 0], [4, 8, 8], [4, 3, 3]),
        (5, [2, 1, 1], [8, 8, 8], [3, 1, 1]),
        (2, [1, 1, 1], [8, 8, 8], [1, 1, 0]),
        (5, [1, 1, 2], [8, 8, 8], [1, 1, 3]),  # 1.25, 1.25, 2.5: the largest remainder, not the first
        (6, [1, 1], [1, 8], [1, 5]),
        (2, [2, 1], [1, 1], [1, 1]),  # nobody is left to take more
    ],
)
def test_what_a_limit_cuts_off_goes_to_the_others(whole, scores, limits, wanted):
    assert _shared(whole, scores, limits) == wanted
