import pytest
import timm
import torch
from torch import nn

from robustpeft.backbones.convit_seams import convit_seams
from robustpeft.types import COMPONENTS

SIZES = {"img_size": 16, "patch_size": 4, "embed_dim": 6, "depth": 3, "num_heads": 4, "local_up_to_layer": 2}


@pytest.fixture(scope="module")
def network():
    return timm.create_model("convit_tiny", num_classes=4, **SIZES).eval()


def test_gated_blocks_have_q_and_k_in_one_layer_and_v_in_another_and_the_rest_one_for_all(network):
    seams = convit_seams(network)
    for block in (0, 1):
        path = f"blocks.{block}.attn"
        assert [(s.component, s.module, s.part) for s in seams.select(["q", "k", "v"], [block])] == [
            ("q", f"{path}.qk", (0, 2)),
            ("k", f"{path}.qk", (1, 2)),
            ("v", f"{path}.v", None),
        ]
    assert [(s.component, s.module, s.part) for s in seams.select(["q", "k", "v"], [2])] == [
        (part, "blocks.2.attn.qkv", (i, 3)) for i, part in enumerate("qkv")
    ]


def test_every_other_linear_map_that_reads_the_image_is_a_site_too(network):
    seams = convit_seams(network)
    maps = {n for n, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d) and "pos_proj" not in n}
    assert {site.module for site in seams.sites} == maps - {"head"}
    assert seams.components == COMPONENTS
    assert seams.heads == ("head",)
    assert seams.embeddings == ("cls_token", "pos_embed")
    assert len(seams.norms) == 7


def test_the_first_half_of_the_first_layer_holds_the_queries(network):
    attention, tokens = network.blocks[0].attn, torch.randn(1, 16, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        attention(tokens)  # makes its table of positions
        queries, keys = tokens @ attention.qk.weight[:24].T, tokens @ attention.qk.weight[24:].T
        scores = [
            (queries[..., h * 6 : h * 6 + 6] @ keys[..., h * 6 : h * 6 + 6].mT * attention.scale).softmax(-1)
            for h in range(4)
        ]
        places = attention.pos_proj(attention.rel_indices).permute(0, 3, 1, 2).softmax(-1)
        gate = torch.sigmoid(attention.gating_param).reshape(1, 4, 1, 1)
        wanted = (1 - gate) * torch.stack(scores, dim=1) + gate * places
        torch.testing.assert_close(attention.get_attention(tokens), wanted, rtol=1e-4, atol=1e-6)


def test_the_branches_of_a_block_are_those_that_it_adds_to_the_stream(network):
    seams = convit_seams(network)
    stream = tokens = torch.randn(1, 16, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for index in (0, 2):
            for first, last in (seams.residuals[index].attn, seams.residuals[index].mlp):
                stream = stream + network.get_submodule(last)(network.get_submodule(first)(stream))
            tokens = network.blocks[index](tokens)
            torch.testing.assert_close(tokens, stream)
    assert {residual.width for residual in seams.residuals} == {24}


def test_the_class_token_joins_in_the_middle_so_no_prompts_fit(network):
    assert convit_seams(network).prefix_tokens is None
