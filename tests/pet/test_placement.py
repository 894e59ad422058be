import pytest
import timm
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from robustpeft.backbones import ImageClassifier, Normalize, find_seams, wrap
from robustpeft.pet import VPT, Adapter, AdaptFormer, FullLoRA, LNLoRA, LoRA
from robustpeft.pet.low_rank import LowRankConv, LowRankLinear
from robustpeft.pet.placement import check_norm_eps, check_rank, count_low_rank, place_low_rank
from robustpeft.types import COMPONENTS, Seams, Site, UserError


def test_the_sites_of_one_layer_share_one_module(model):
    modules = place_low_rank(model, model.require_seams().select(COMPONENTS), 2, None)
    layers = {f"blocks.{i}.{layer}" for i in (0, 1) for layer in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")}
    assert modules.keys() == layers | {"patch_embed.proj"}
    assert isinstance(modules.pop("patch_embed.proj"), LowRankConv)
    assert all(isinstance(module, LowRankLinear) for module in modules.values())
    assert [b.name for b in modules["blocks.0.attn.qkv"].adapter.branches] == ["q", "k", "v"]


@pytest.mark.parametrize(
    ("r", "alpha", "scaling"), [(8, None, 1.0), (8, 4, 0.5), (8, 1, 0.125), (3, 1, 1 / 3), (2, 8, 4)]
)
def test_the_scaling_is_alpha_over_r_and_never_rounds_to_zero(model, r, alpha, scaling):
    modules = place_low_rank(model, model.require_seams().select(["fc1"]), r, alpha)
    assert {b.scaling for m in modules.values() for b in m.adapter.branches} == {scaling}


def test_the_model_is_not_changed_by_making_modules(model):
    before = {name: type(module) for name, module in model.named_modules()}
    place_low_rank(model, model.require_seams().select(COMPONENTS), 2, None)
    assert {name: type(module) for name, module in model.named_modules()} == before


@given(
    d=st.integers(1, 6).map(lambda n: 4 * n),
    depth=st.integers(1, 3),
    patch=st.sampled_from([2, 4, 8]),
    r=st.integers(1, 4),
    with_norm=st.booleans(),
    components=st.sets(st.sampled_from(COMPONENTS), min_size=1),
)
@settings(max_examples=20, deadline=None)
def test_the_count_is_the_closed_form_and_what_the_modules_hold(d, depth, patch, r, with_norm, components):
    sizes = {"img_size": 16, "patch_size": patch, "embed_dim": d, "depth": depth, "num_heads": 2}
    network = timm.create_model("vit_tiny_patch16_224", num_classes=2, **sizes)
    model = ImageClassifier(network, Normalize((0,) * 3, (1,) * 3), seams=find_seams(network))
    sides = {"patch_embed": (3 * patch**2, d), "fc1": (d, 4 * d), "fc2": (4 * d, d)}
    wanted = 0
    for component in components:
        inputs, outputs = sides.get(component, (d, d))
        times = 1 if component == "patch_embed" else depth
        wanted += times * (r * (inputs + outputs) + (2 * inputs if with_norm else 0))
    sites = model.require_seams().select(sorted(components, key=COMPONENTS.index))
    assert count_low_rank(model, sites, r, with_norm=with_norm) == wanted
    modules = place_low_rank(model, sites, r, None, norm_eps=1e-5 if with_norm else None)
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
    sites = model.require_seams().select([component])
    assert place_low_rank(model, sites, 32, None)
    with pytest.raises(UserError, match=message):
        place_low_rank(model, sites, 33, None)


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
        place_low_rank(model, (site,), 2, None)


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
    check_norm_eps(1e-12)
    with pytest.raises(UserError, match="eps of a LayerNorm must be positive; got 0"):
        check_norm_eps(0.0)


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
