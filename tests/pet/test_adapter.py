import copy

import pytest
import torch
from torch.nn import functional as F

from robustpeft.backbones import wrap
from robustpeft.pet import Adapter
from robustpeft.types import UserError

FAMILIES = (
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "vit_small_patch14_reg4_dinov2",
    "vit_base_patch16_clip_224",
)
PLACES = {"houlsby": ("attn", "mlp"), "pfeiffer": ("mlp",), "post": ("block",)}


def reference(block, x, state, prefix, position):
    """Return what a block answers whose adapters, with these tensors, stand where `position` says."""

    def adapted(host, z):
        down, up = (
            (state[f"{prefix}{host}adapter.{name}.weight"], state[f"{prefix}{host}adapter.{name}.bias"])
            for name in ("down", "up")
        )
        return z + F.gelu(z @ down[0].T + down[1]) @ up[0].T + up[1]

    scaled = hasattr(block.ls1, "gamma")
    attn = block.ls1(block.attn(block.norm1(x)))
    r = x + (adapted("ls1." if scaled else "attn.", attn) if position == "houlsby" else attn)
    mlp = block.ls2(block.mlp(block.norm2(r)))
    h = r + (mlp if position == "post" else adapted("ls2." if scaled else "mlp.", mlp))
    return adapted("", h) if position == "post" else h


@pytest.mark.parametrize("position", PLACES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_block_answers_as_written_down_by_hand(build, shake, family, position):
    model = build(family)
    bare = copy.deepcopy(model.network.blocks[1])
    handle = Adapter(position, bottleneck=4).attach(model)
    shake(handle)
    tokens = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(0))
    wanted = reference(bare, tokens, handle.state(), "blocks.1.", position)
    assert (wanted - bare(tokens)).abs().max() > 0.01
    torch.testing.assert_close(model.network.blocks[1](tokens), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("position", "times"), [("houlsby", 2), ("pfeiffer", 1), ("post", 1)])
def test_the_count_is_the_one_in_the_docstring(build, position, times):
    d, depth, m = 24, 12, 5
    model = build(embed_dim=d, depth=depth)
    method = Adapter(position, bottleneck=m)
    assert method.count(model) == times * (2 * d * m + m + d) * depth
    handle = method.attach(model)
    assert handle.num_parameters - handle.num_head_parameters == method.count(model)
    assert {int(name.split(".")[1]) for name in handle.added_names()} == set(range(depth))


@pytest.mark.parametrize("position", PLACES)
def test_only_the_chosen_blocks_have_adapters(build, images, position):
    model = build(depth=4)
    method = Adapter(position, bottleneck=3, blocks=(-1, 1))
    count = method.count(model)
    handle = method.attach(model)
    assert (
        count == handle.num_parameters - handle.num_head_parameters == Adapter(position, bottleneck=3).count(model) / 2
    )
    assert {int(name.split(".")[1]) for name in handle.added_names()} == {1, 3}


def test_a_block_that_does_not_exist_is_refused_and_nothing_is_attached(model):
    with pytest.raises(UserError, match=r"blocks \[2\] do not exist; this network has blocks 0 to 1"):
        Adapter(blocks=(0, 2)).attach(model)
    assert model.attachments == []


@pytest.mark.parametrize(("init", "sigma"), [("houlsby", 0.0088), ("normal", 0.02)])
def test_another_start_is_not_the_identity_and_says_so(build, init, sigma):
    method = Adapter("post", bottleneck=32, init=init)
    assert not method.identity_at_start
    assert Adapter("post").identity_at_start
    state = method.attach(build(depth=1)).state()
    assert state["blocks.0.adapter.up.weight"].std().item() == pytest.approx(sigma, rel=0.1)


def test_no_two_adapters_start_alike(model):
    starts = [t for name, t in Adapter().attach(model).state().items() if name.endswith("down.weight")]
    assert len({tuple(t.flatten().tolist()) for t in starts}) == len(starts) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"position": "pfeifer"}, "unknown position 'pfeifer'; did you mean 'pfeiffer'"),
        ({"bottleneck": 0}, "bottleneck must be at least 1; got 0"),
        ({"init": "zeros"}, "unknown init 'zeros'; did you mean 'zero'"),
        ({"blocks": ()}, "blocks must name at least one block"),
    ],
)
def test_what_means_nothing_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        Adapter(**arguments)


@pytest.mark.parametrize("family", ["vit_small_patch16_18x2_224", "vit_base_patch16_xp_224"])
def test_other_blocks_are_refused_and_nothing_is_attached(build, family):
    model = build(family)
    with pytest.raises(UserError, match=r"blocks of this vit are not x \+ attn\(norm\(x\)\).*such as lora"):
        Adapter().attach(model)
    assert model.attachments == []


def test_a_network_of_no_known_family_is_refused():
    with pytest.raises(UserError, match="belongs to no family"):
        Adapter().attach(wrap(torch.nn.Linear(2, 2)))
