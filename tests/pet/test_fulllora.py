import itertools

import pytest
import torch
from hypothesis import given, settings, strategies as st

from robustpeft.pet import FullLoRA, LNLoRA
from robustpeft.types import COMPONENTS, UserError


def test_the_count_is_the_one_in_the_docstring(build):
    d, depth, p, r = 24, 3, 4, 5
    model = build(embed_dim=d, depth=depth)
    blocks, patches = (18 * r * d + 18 * d) * depth, r * (3 * p**2 + d) + 6 * p**2
    assert FullLoRA(r=r).count(model) == blocks + patches
    assert FullLoRA(r=r, patch_embed=False).count(model) == blocks
    assert FullLoRA(r=r, affine=False).count(model) == blocks + patches - 18 * d * depth - 6 * p**2
    assert FullLoRA(r=r, norm="none").count(model) == FullLoRA(r=r, affine=False).count(model)


def test_a_scaling_that_means_nothing_is_refused():
    for alpha in (0, -1.0, float("nan")):
        with pytest.raises(UserError, match="alpha"):
            FullLoRA(r=2, alpha=alpha)


@given(switches=st.lists(st.booleans(), min_size=7, max_size=7).filter(any))
@settings(max_examples=12, deadline=None)
def test_each_component_can_be_left_out(build, switches):
    chosen = dict(zip(COMPONENTS, switches, strict=True))
    model = build(depth=1)
    method = FullLoRA(r=2, **chosen)
    handle = method.attach(model)
    there = {name.rsplit(".", 1)[1] for name in handle.added_names()}
    assert there == {component for component, on in chosen.items() if on} == set(method.components)
    assert handle.num_parameters - handle.num_head_parameters == method.count(model)


def test_it_is_lnlora_everywhere_with_an_eps_of_its_own_at_the_patch_embedding(build, images, shake):
    one, other = build(), build()
    shake(FullLoRA(r=2, norm_eps=1e-3, patch_embed_eps=1e-3).attach(one))
    shake(LNLoRA(r=2, norm_eps=1e-3, components=COMPONENTS).attach(other))
    assert torch.equal(one(images), other(images))


def test_the_patch_embed_eps_bounds_the_gain_over_a_constant_patch(build):
    gains = []
    for eps in (0.1, 1e-6):
        model = build()
        FullLoRA(r=2, patch_embed_eps=eps).attach(model)
        adapter = model.network.patch_embed.proj.adapter
        assert adapter.norm_eps == eps
        assert {m.adapter.norm_eps for m in model.modules() if hasattr(m, "adapter")} == {eps, 1e-5}
        with torch.no_grad():
            adapter.B["patch_embed"].fill_(1.0)
            flat = torch.full((1, 48), 0.3)
            step = 0.01 * torch.randn(1, 48, generator=torch.Generator().manual_seed(0))
            gains.append((adapter(flat + step) - adapter(flat)).norm() / step.norm())
    assert gains[0] < gains[1] / 10


@pytest.mark.parametrize("off", list(itertools.combinations(COMPONENTS, 6))[:1])
def test_one_component_is_enough_and_none_is_refused(model, off):
    FullLoRA(r=2, **dict.fromkeys(off, False)).attach(model).detach()
    with pytest.raises(UserError, match="match nothing; this network has patch_embed, q, k"):
        FullLoRA(r=2, **dict.fromkeys(COMPONENTS, False)).attach(model)


@pytest.mark.parametrize("field", ["norm_eps", "patch_embed_eps"])
def test_an_eps_that_is_not_positive_is_refused(field):
    with pytest.raises(UserError, match="eps of a LayerNorm must be positive"):
        FullLoRA(**{field: 0.0})


def test_the_defaults_adapt_everything_and_do_not_declare_it_mergeable():
    assert FullLoRA().components == COMPONENTS
    assert not FullLoRA.mergeable
