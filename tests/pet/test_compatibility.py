import copy
import dataclasses

import pytest
import torch
from torch.nn import functional as F

from robustpeft.pet import METHOD_AXIS, PETROBUSTNESS, PETMethod
from robustpeft.types import from_plain, to_plain

TOKENS = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(0))


def start_of(name, model):
    """Return a block without and with the technique, and the tensors of the latter's adapter."""
    bare = copy.deepcopy(model.network.blocks[1])
    state = PETROBUSTNESS[name].attach(model).state()
    return bare, model.network.blocks[1], {n.split("adapter.")[-1]: t for n, t in state.items() if "blocks.1." in n}


def mlp(t, z):
    return F.gelu(z @ t["down.weight"].T + t["down.bias"]) @ t["up.weight"].T + t["up.bias"]


def test_seq_adapter_stands_behind_the_whole_block(model, shake):
    bare, block, t = start_of("seq_adapter", model)
    shake(model.attachments[0])
    h = bare(TOKENS)
    torch.testing.assert_close(block(TOKENS), mlp(t, h) + h)


def test_adaptformer_has_a_gelu_and_a_tenth_and_reads_the_stream(model, shake):
    bare, block, t = start_of("adaptformer", model)
    shake(model.attachments[0], size=0.5)
    r = TOKENS + bare.attn(bare.norm1(TOKENS))
    torch.testing.assert_close(block(TOKENS), r + bare.mlp(bare.norm2(r)) + 0.1 * mlp(t, r), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["seq_adapter", "adaptformer"])
def test_both_matrices_start_as_timm_starts_every_linear_map(build, name):
    _, _, t = start_of(name, build(embed_dim=512))
    for matrix in (t["down.weight"], t["up.weight"]):
        assert matrix.shape in ((4, 512), (512, 4))
        assert matrix.std().item() == pytest.approx(0.02, rel=0.1)
    assert not PETROBUSTNESS[name].identity_at_start


def test_lora_maps_each_head_of_the_projected_queries_and_values(model, shake):
    bare = copy.deepcopy(model.network.blocks[1].attn.qkv)
    handle = PETROBUSTNESS["lora"].attach(model)
    shake(handle, size=0.5)
    t = {n.rpartition("qkv.")[2]: tensor for n, tensor in handle.state().items() if "blocks.1." in n}
    q, k, v = bare(TOKENS).unflatten(2, (3, 2, 16)).unbind(2)
    q, v = (z + F.linear(z, t[f"A.{name}"] @ t[f"B.{name}"]) for name, z in (("q", q), ("v", v)))
    wanted = torch.stack((q, k, v), dim=2).flatten(2)
    torch.testing.assert_close(model.network.blocks[1].attn.qkv(TOKENS), wanted, rtol=1e-5, atol=1e-5)
    assert t["A.q"].shape == (16, 4)


def test_prompt_is_shallow_and_starts_uniform_on_one_half(model):
    handle = PETROBUSTNESS["prompt"].attach(model)
    assert handle.added_names() == {"blocks.0.prompts.tokens"}
    prompts = handle.state()["blocks.0.prompts.tokens"]
    assert prompts.shape == (200, 32)
    assert 0.49 < prompts.abs().max() <= 0.5
    assert PETROBUSTNESS["prompt"].dropout == 0.1


def test_nothing_drops_in_the_adapters_in_training(model):
    handle = PETROBUSTNESS["adaptformer"].attach(model)
    handle.train()
    block = model.network.blocks[0]
    assert torch.equal(block(TOKENS), block(TOKENS))


@pytest.mark.parametrize("name", PETROBUSTNESS)
def test_each_is_an_ordinary_value(name):
    method = PETROBUSTNESS[name]
    assert from_plain(PETMethod, to_plain(method, (METHOD_AXIS,)), (METHOD_AXIS,)) == method
    size = {"prompt": "num_prompts", "lora": "r"}.get(name, "bottleneck")
    assert getattr(dataclasses.replace(method, **{size: 9}), size) == 9


def test_the_mapping_cannot_be_changed():
    with pytest.raises(TypeError):
        PETROBUSTNESS["prompt"] = None
