import pytest
import timm
import torch
from torch import nn

from robustpeft.backbones.fused_bias import call_the_qkv_layers, passes_by_its_qkv

FLAT = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 1, "num_heads": 2, "num_classes": 4}
STAGES = {"img_size": 16, "patch_size": 4, "embed_dim": 8, "depths": (1,), "num_heads": (2,), "window_size": 4}


def calls_of(network):
    met = []
    for name, module in network.named_modules():
        if name.endswith(".qkv"):
            module.register_forward_hook(lambda *_: met.append(1))
    logits = network(torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    return len(met), logits


@pytest.mark.parametrize(("name", "sizes"), [("eva02_tiny_patch14_224", FLAT), ("swinv2_tiny_window8_256", STAGES)])
def test_after_the_switch_the_layer_is_called_and_the_answer_is_the_same_up_to_rounding(name, sizes):
    network = timm.create_model(name, **sizes).eval()
    (attention,) = (m for m in network.modules() if hasattr(m, "q_bias"))
    nn.init.normal_(attention.q_bias)
    nn.init.normal_(attention.v_bias)
    assert passes_by_its_qkv(attention)
    calls, before = calls_of(network)
    assert calls == 0
    call_the_qkv_layers(network)
    assert not passes_by_its_qkv(attention)
    calls, after = calls_of(network)
    assert calls == 1
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_small_patch16_dinov3"])
def test_attention_that_calls_its_layer_anyway_is_left_alone(name):
    network = timm.create_model(name, **FLAT).eval()
    before = {n: dict(m.__dict__) for n, m in network.named_modules()}
    assert not any(passes_by_its_qkv(m) for m in network.modules())
    assert calls_of(network)[0] == 1
    call_the_qkv_layers(network)
    assert getattr(network.blocks[0].attn, "qkv_bias_separate", None) == before["blocks.0.attn"].get(
        "qkv_bias_separate"
    )
