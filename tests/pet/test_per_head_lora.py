import pytest
import torch
from torch.nn import functional as F

from robustpeft.pet import PerHeadLoRA
from robustpeft.types import UserError, frozen_twin


def test_each_head_of_the_queries_and_values_goes_through_the_same_map(model, shake):
    layer = model.network.get_submodule("blocks.1.attn.qkv")
    shake(PerHeadLoRA(r=3).attach(model), size=1.0)
    adapted = model.network.get_submodule("blocks.1.attn.qkv")
    tokens = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        # batch, tokens, (q, k, v), heads, width of a head: as the attention itself divides it
        q, k, v = layer(tokens).reshape(2, 5, 3, 2, 16).unbind(2)
        q = q + F.linear(q, adapted.A["q"] @ adapted.B["q"])
        v = v + F.linear(v, adapted.A["v"] @ adapted.B["v"])
        wanted = torch.stack([q, k, v], 2).reshape(2, 5, 96)
        assert (wanted - layer(tokens)).abs().max() > 0.1
        torch.testing.assert_close(adapted(tokens), wanted)
        torch.testing.assert_close(frozen_twin(adapted)(tokens), wanted, rtol=1e-4, atol=1e-4)


def test_a_layer_without_bias_stays_without_one(build, shake, images):
    model = build(qkv_bias=False)
    shake(PerHeadLoRA(r=2).attach(model))
    assert model.network.get_submodule("blocks.0.attn.qkv").bias is None
    torch.testing.assert_close(model.attack_view()(images), model(images), rtol=1e-4, atol=1e-4)


def test_the_count_is_the_one_in_the_docstring(build):
    model = build(embed_dim=24, depth=3, num_heads=4)
    assert PerHeadLoRA(r=5).count(model) == 4 * 5 * 6 * 3


def test_a_starts_kaiming_uniform_over_its_columns_and_b_at_0(model):
    layer = PerHeadLoRA(r=4).modules(model, seed=0)["blocks.0.attn.qkv"]
    assert layer.A.keys() == layer.B.keys() == {"q", "v"}
    for name in "qv":
        assert layer.A[name].shape == (16, 4)
        assert 0.45 < layer.A[name].abs().max() <= 0.5
        assert layer.B[name].shape == (4, 16)
        assert not layer.B[name].any()
    assert not torch.equal(layer.A["q"], layer.A["v"])


@pytest.mark.parametrize("r", [0, -1])
def test_a_rank_below_1_is_refused(r):
    with pytest.raises(UserError, match=f"r must be at least 1; got {r}"):
        PerHeadLoRA(r=r)


def test_a_rank_above_the_width_of_a_head_is_refused(model):
    PerHeadLoRA(r=16).attach(model).detach()
    with pytest.raises(UserError, match=r"r = 17 is larger than the 16 of a head of blocks\.0\.attn\.qkv"):
        PerHeadLoRA(r=17).attach(model)


def test_every_layer_starts_from_values_of_its_own(model):
    handle = PerHeadLoRA(r=2).attach(model)
    starts = [value for name, value in handle.state().items() if ".A." in name]
    assert len(starts) == 4
    assert len({tuple(start.flatten().tolist()) for start in starts}) == 4


def test_an_attention_that_does_not_say_its_heads_is_refused(model):
    del model.network.blocks[1].attn.num_heads
    with pytest.raises(UserError, match=r"around blocks.1.attn.qkv does not say its num_heads"):
        PerHeadLoRA(r=2).attach(model)
