import pytest
import timm
import torch
from torch import nn

from robustpeft.backbones.fused_bias import call_the_qkv_layers
from robustpeft.backbones.swin_seams import swin_seams
from robustpeft.types import COMPONENTS, STAGE_COMPONENTS

SIZES = {"img_size": 32, "patch_size": 4, "embed_dim": 8, "depths": (2, 1), "num_heads": (2, 4), "window_size": 3}


def build(name="swin_tiny_patch4_window7_224", classes=4):
    return timm.create_model(name, num_classes=classes, **SIZES).eval()


def open_v2():
    network = build("swinv2_tiny_window8_256")
    call_the_qkv_layers(network)
    return network


@pytest.mark.parametrize("network", [build(), open_v2()], ids=["v1", "v2"])
def test_every_linear_map_on_the_way_of_the_image_is_a_site_in_the_order_of_the_forward_pass(network):
    seams = swin_seams(network)
    met = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and "cpb_mlp" not in name:  # that one reads positions
            module.register_forward_hook(lambda *_, name=name: met.append(name))
    network(torch.rand(1, 3, 32, 32))
    assert [*dict.fromkeys(site.module for site in seams.sites), "head.fc"] == met
    assert set(seams.components) == {*COMPONENTS, *STAGE_COMPONENTS}
    assert seams.heads == ("head.fc",)
    assert not seams.absent


def test_blocks_are_counted_through_the_stages():
    seams = swin_seams(build())
    assert seams.blocks == ("layers.0.blocks.0", "layers.0.blocks.1", "layers.1.blocks.0")
    assert [(s.component, s.part) for s in seams.sites if s.block == 2] == [
        *zip("qkv", ((0, 3), (1, 3), (2, 3)), strict=True),
        ("proj", None),
        ("fc1", None),
        ("fc2", None),
    ]
    assert [s.module for s in seams.select(["fc1"])] == [f"{block}.mlp.fc1" for block in seams.blocks]
    assert [(s.module, s.block) for s in seams.select(["reduction"])] == [("layers.1.downsample.reduction", None)]


def test_the_width_grows_and_no_prompts_fit():
    seams = swin_seams(build())
    assert [residual.width for residual in seams.residuals] == [8, 8, 16]
    assert seams.residuals[1].attn == ("layers.0.blocks.1.attn",)
    assert seams.residuals[2].mlp == ("layers.1.blocks.0.norm2", "layers.1.blocks.0.mlp")
    assert seams.prefix_tokens is None


def test_all_norms_are_found():
    network = build()
    assert set(swin_seams(network).norms) == {n for n, m in network.named_modules() if isinstance(m, nn.LayerNorm)}
    assert "layers.1.downsample.norm" in swin_seams(network).norms


def test_v2_has_no_branches_that_begin_with_a_norm_and_says_why_queries_are_missing():
    seams = swin_seams(build("swinv2_tiny_window8_256"))
    assert seams.residuals == ()
    assert seams.components == ("patch_embed", "proj", "fc1", "fc2", "reduction")
    assert "qkv_bias_separate" in seams.absent


def test_a_network_without_classes_has_no_head():
    assert swin_seams(build(classes=0)).heads == ()
