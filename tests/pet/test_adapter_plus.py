import copy

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.nn import functional as F

from robustpeft.pet import AdapterPlus
from robustpeft.types import UserError

TOKENS = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("family", ["vit_tiny_patch16_224", "vit_small_patch14_reg4_dinov2"])
def test_a_block_answers_as_written_down_by_hand(build, shake, family):
    model = build(family)
    bare = copy.deepcopy(model.network.blocks[1])
    handle = AdapterPlus(bottleneck=5).attach(model)
    shake(handle, size=0.3)
    state = handle.state()
    t = {name.removeprefix("blocks.1.adapter."): value for name, value in state.items()}
    h = bare(TOKENS)
    hidden = F.gelu(h @ t["down.weight"].T + t["down.bias"])
    wanted = h + t["channel_scale"] * (hidden @ t["up.weight"].T + t["up.bias"])
    assert (wanted - h).abs().max() > 0.01
    torch.testing.assert_close(model.network.blocks[1](TOKENS), wanted, rtol=1e-5, atol=1e-5)


@given(d=st.sampled_from([8, 24, 40]), m=st.integers(1, 9), depth=st.integers(1, 4))
@settings(max_examples=6, deadline=None)
def test_the_count_is_the_one_in_the_docstring(build, d, m, depth):
    model = build(embed_dim=d, depth=depth)
    method = AdapterPlus(bottleneck=m)
    assert method.count(model) == (2 * d * m + m + 2 * d) * depth
    handle = method.attach(model)
    assert handle.num_parameters - handle.num_head_parameters == (2 * d * m + m + 2 * d) * depth


def test_it_starts_as_in_the_source_which_is_not_the_identity(build):
    state = AdapterPlus(bottleneck=32).attach(build(embed_dim=64)).state()
    for block in ("blocks.0", "blocks.1"):
        assert torch.equal(state[f"{block}.adapter.channel_scale"], torch.ones(64))
        for matrix in (state[f"{block}.adapter.down.weight"], state[f"{block}.adapter.up.weight"]):
            assert matrix.std().item() == pytest.approx(0.0088, rel=0.1)
            assert matrix.abs().max() <= 0.02
    assert not torch.equal(state["blocks.0.adapter.up.weight"], state["blocks.1.adapter.up.weight"])
    assert not AdapterPlus().identity_at_start
    assert AdapterPlus() == AdapterPlus(bottleneck=8, drop_path=0.1)


def test_increments_are_dropped_whole_and_only_in_training(model, images, shake):
    handle = AdapterPlus(drop_path=0.5).attach(model)
    shake(handle)
    assert torch.equal(model(images), model(images))
    handle.train()
    block = model.network.blocks[0]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        rows = [block(TOKENS) for _ in range(20)]
    assert {tuple(row[0].flatten().tolist()) for row in rows} != {tuple(rows[0][0].flatten().tolist())}
    assert len({tuple(row[0].flatten().tolist()) for row in rows}) == 2  # with the increment, and without
    assert torch.equal(model.attack_view()(images), model.attack_view()(images))


def test_only_the_chosen_blocks_have_one(build):
    model = build(depth=12, embed_dim=8)
    method = AdapterPlus(bottleneck=2, blocks=(-1, 1))
    assert method.count(model) == 2 * (2 * 8 * 2 + 2 + 2 * 8)
    names = method.attach(model).added_names()
    assert {name.split(".")[1] for name in names} == {"1", "11"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bottleneck": 0}, "bottleneck must be at least 1; got 0"),
        ({"drop_path": 1.0}, r"drop_path must be in \[0, 1\); got 1"),
        ({"blocks": ()}, "blocks must name at least one block"),
    ],
)
def test_what_means_nothing_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        AdapterPlus(**arguments)


def test_a_block_that_does_not_exist_is_refused(model):
    with pytest.raises(UserError, match=r"blocks \[2\] do not exist"):
        AdapterPlus(blocks=(2,)).attach(model)


def test_blocks_of_another_kind_are_refused(build):
    with pytest.raises(UserError, match="blocks of this vit are not"):
        AdapterPlus().attach(build("vit_small_patch16_18x2_224"))
