import pytest
import timm
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from robustpeft.backbones import ImageClassifier, Normalize, find_seams, wrap
from robustpeft.pet import VPT, Adapter, AdaptFormer, FullLoRA, LNLoRA, LoRA, RankRule
from robustpeft.pet.low_rank import LowRankConv, LowRankLinear
from robustpeft.pet.placement import BranchSettings, check_norm, check_rank, count_low_rank, place_low_rank
from robustpeft.types import COMPONENTS, Seams, Site, UserError


def at_rank(model, r, components=COMPONENTS):
    return dict.fromkeys(model.require_seams().select(components), r)


def test_the_sites_of_one_layer_share_one_module(model):
    modules = place_low_rank(model, at_rank(model, 2), BranchSettings())
    layers = {f"blocks.{i}.{layer}" for i in (0, 1) for layer in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")}
    assert modules.keys() == layers | {"patch_embed.proj"}
    assert isinstance(modules.pop("patch_embed.proj"), LowRankConv)
    assert all(isinstance(module, LowRankLinear) for module in modules.values())
    assert [b.name for b in modules["blocks.0.attn.qkv"].adapter.branches] == ["q", "k", "v"]


@pytest.mark.parametrize(
    ("r", "alpha", "scaling", "rooted"),
    [(8, None, 1.0, 8**0.5), (8, 4, 0.5, 2**0.5), (8, 1, 0.125, 8**-0.5), (3, 1, 1 / 3, 3**-0.5), (4, 8, 2, 4)],
)
def test_the_scaling_is_alpha_over_r_or_its_root_and_never_rounds_to_zero(model, r, alpha, scaling, rooted):
    for rslora, wanted in ((False, scaling), (True, rooted)):
        modules = place_low_rank(model, at_rank(model, r, ["fc1"]), BranchSettings(alpha, rslora))
        assert [b.scaling for m in modules.values() for b in m.adapter.branches] == [pytest.approx(wanted)] * 2


def test_each_map_has_the_rank_and_the_scaling_of_its_own(model):
    ranks = {site: 1 + i for i, site in enumerate(model.require_seams().select(["q", "k"], [1]))}
    (module,) = place_low_rank(model, ranks, BranchSettings(alpha=4)).values()
    assert [(b.name, b.r, b.scaling) for b in module.adapter.branches] == [("q", 1, 4.0), ("k", 2, 2.0)]
    (module,) = place_low_rank(model, ranks, BranchSettings()).values()
    assert [b.scaling for b in module.adapter.branches] == [1.0, 1.0]


def test_the_model_is_not_changed_by_making_modules(model):
    before = {name: type(module) for name, module in model.named_modules()}
    place_low_rank(model, at_rank(model, 2), BranchSettings())
    assert {name: type(module) for name, module in model.named_modules()} == before


@given(
    d=st.integers(1, 6).map(lambda n: 4 * n),
    depth=st.integers(1, 3),
    patch=st.sampled_from([2, 4, 8]),
    r=st.integers(1, 4),
    norm=st.sampled_from(["before", "none", "after"]),
    affine=st.booleans(),
    components=st.sets(st.sampled_from(COMPONENTS), min_size=1),
)
@settings(max_examples=20, deadline=None)
def test_the_count_is_the_closed_form_and_what_the_modules_hold(d, depth, patch, r, norm, affine, components):
    sizes = {"img_size": 16, "patch_size": patch, "embed_dim": d, "depth": depth, "num_heads": 2}
    network = timm.create_model("vit_tiny_patch16_224", num_classes=2, **sizes)
    model = ImageClassifier(network, Normalize((0,) * 3, (1,) * 3), seams=find_seams(network))
    sides = {"patch_embed": (3 * patch**2, d), "fc1": (d, 4 * d), "fc2": (4 * d, d)}
    wanted = 0
    for component in components:
        inputs, outputs = sides.get(component, (d, d))
        times = 1 if component == "patch_embed" else depth
        wanted += times * (r * (inputs + outputs))
        if affine:
            wanted += times * {"before": 2 * inputs, "none": 0, "after": 2 * outputs}[norm]
    ranks = at_rank(model, r, sorted(components, key=COMPONENTS.index))
    assert count_low_rank(model, ranks, norm, affine) == wanted
    modules = place_low_rank(model, ranks, BranchSettings(norm=norm, affine=affine))
    assert sum(p.numel() for m in modules.values() for p in m.adapter.parameters()) == wanted


@pytest.mark.parametrize(
    ("component", "message"),
    [
        ("q", r"r = 33 is larger than the 32 of blocks.0.attn.qkv \(q: 32 to 32\)"),
        ("fc2", r"r = 33 is larger than the 32 of blocks.0.mlp.fc2 \(fc2: 128 to 32\)"),
        ("patch_embed", r"r = 33 is larger than the 32 of patch_embed.proj \(patch_embed: 48 to 32\)"),
    ],
)
def test_a_rank_above_the_smaller_side_is_refused(model, component, message):
    assert place_low_rank(model, at_rank(model, 32, [component]), BranchSettings())
    with pytest.raises(UserError, match=message):
        place_low_rank(model, at_rank(model, 33, [component]), BranchSettings())


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Conv2d(3, 8, 4, stride=2), "overlapping, padded or grouped windows; leave out patch_embed"),
        (nn.Conv2d(3, 8, 4, stride=4, padding=1), "overlapping, padded or grouped"),
        (nn.Conv2d(3, 9, 4, stride=4, groups=3), "overlapping, padded or grouped"),
        (nn.Embedding(8, 8), "is a Embedding; low-rank branches go beside Linear and patch embeddings"),
    ],
)
def test_a_layer_that_cannot_be_wrapped_is_refused(layer, message):
    model = wrap(nn.Sequential(layer))
    site = Site("patch_embed", "0")
    model.seams = Seams("own", (site,), ("head",), (), ())
    with pytest.raises(UserError, match=message):
        place_low_rank(model, {site: 2}, BranchSettings())


@pytest.mark.parametrize("padding", [0, "valid"])
def test_a_patch_embedding_without_padding_is_wrapped_however_that_is_said(padding):
    model = wrap(nn.Sequential(nn.Conv2d(3, 8, 4, stride=4, padding=padding)))
    site = Site("patch_embed", "0")
    model.seams = Seams("own", (site,), ("head",), (), ())
    assert list(place_low_rank(model, {site: 2}, BranchSettings())) == ["0"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, None, 0.0), "r must be at least 1; got 0"),
        ((2, 0.0, 0.0), "alpha must be positive; got 0"),
        ((2, -1.0, 0.0), "alpha must be positive; got -1"),
        ((2, None, 1.0), r"dropout must be in \[0, 1\); got 1"),
        ((2, None, -0.1), r"dropout must be in \[0, 1\); got -0.1"),
    ],
)
def test_hyper_parameters_that_mean_nothing_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        check_rank(*arguments)


def test_an_eps_that_is_not_positive_is_refused():
    check_norm("before", True, 1e-12)
    with pytest.raises(UserError, match="eps of a LayerNorm must be positive; got 0"):
        check_norm("before", True, 0.0)


@pytest.mark.parametrize("technique", [LNLoRA, FullLoRA])
def test_norms_that_do_not_exist_or_cannot_be_fixed_are_refused(technique):
    with pytest.raises(UserError, match="unknown norm 'befor'; did you mean 'before'"):
        technique(norm="befor")
    with pytest.raises(UserError, match="norm 'after' needs affine"):
        technique(norm="after", affine=False)
    assert technique(norm="none", affine=False).mergeable


@pytest.mark.parametrize("technique", [LoRA, LNLoRA, FullLoRA])
def test_every_low_rank_technique_passes_blocks_ranks_and_rslora_on(build, technique):
    model = build(depth=12)
    rules = (RankRule(9, ("q",), (10,)),)
    modules = technique(r=4, blocks=(-1, 10), rslora=True, rank_pattern=rules).modules(model, seed=0)
    blocks = {path: int(path.split(".")[1]) for path in modules if path.startswith("blocks")}
    assert set(blocks.values()) == {10, 11}
    for path, module in modules.items():
        for branch in module.adapter.branches:
            r = 9 if (branch.name, blocks.get(path)) == ("q", 10) else 4
            assert (branch.r, branch.scaling) == (r, pytest.approx(r**0.5))
    with pytest.raises(UserError, match="blocks must name at least one block"):
        technique(blocks=())


@pytest.mark.parametrize("technique", [LNLoRA, FullLoRA])
@pytest.mark.parametrize(("norm", "affine"), [("before", True), ("before", False), ("none", True), ("after", True)])
def test_every_technique_with_a_norm_passes_it_on(model, technique, norm, affine):
    method = technique(r=2, norm=norm, affine=affine)
    assert method.mergeable is (norm == "none")
    for module in method.modules(model, seed=0).values():
        assert module.adapter.norm == norm
        assert bool(module.adapter.norm_weight) is (affine and norm != "none")


def test_without_the_norm_it_is_plain_lora(build, images, shake):
    answers = []
    for method in (
        LoRA(r=2, alpha=3, components=COMPONENTS),
        LNLoRA(r=2, alpha=3, norm="none", components=COMPONENTS),
        FullLoRA(r=2, alpha=3, norm="none"),
    ):
        model = build()
        shake(method.attach(model, seed=7))
        answers.append(model(images))
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])


@pytest.mark.parametrize("technique", [LoRA, LNLoRA, FullLoRA])
def test_every_low_rank_technique_passes_its_scaling_and_dropout_on(model, technique):
    for path, module in technique(r=4, alpha=2.0, dropout=0.25).modules(model, seed=0).items():
        assert {branch.scaling for branch in module.adapter.branches} == {0.5}, path
        assert module.adapter.dropout.p == 0.25, path
    assert technique().dropout == 0.0


@pytest.mark.parametrize("technique", [LoRA(), LNLoRA(), FullLoRA(), Adapter(), AdaptFormer(), VPT()], ids=repr)
def test_what_starts_at_random_starts_from_the_seed(build, technique):
    def start(seed):
        handle = technique.attach(build(), seed=seed)
        return {n: p.clone() for n, p in handle.named_parameters().items() if not handle.is_head(n)}

    one, same, other = start(1), start(1), start(2)
    assert all(torch.equal(one[name], same[name]) for name in one)
    drawn = [name for name in one if one[name].ndim > 1 and one[name].abs().sum() > 0]
    assert drawn
    assert not any(torch.equal(one[name], other[name]) for name in drawn)


@pytest.mark.parametrize("technique", [LoRA(), FullLoRA(), Adapter(), AdaptFormer()], ids=repr)
def test_no_two_layers_start_alike(build, technique):
    handle = technique.attach(build(), seed=0)
    drawn = [p for n, p in handle.named_parameters().items() if not handle.is_head(n) and p.ndim > 1 and p.abs().sum()]
    assert len({round(float(p.detach().sum()), 6) for p in drawn}) == len(drawn)


def test_rank_one_is_a_rank():
    check_rank(1, None, 0.0)
