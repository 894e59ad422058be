import pytest
import torch
from torch import nn

from robustpeft.backbones import find_seams
from robustpeft.backbones.hf_vit_seams import hf_vit_seams
from robustpeft.types import COMPONENTS


@pytest.fixture(scope="module")
def network():
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    config = transformers.ViTConfig(**sizes, image_size=16, patch_size=4, num_labels=4)
    return transformers.ViTForImageClassification(config).eval()


def test_every_linear_map_between_pixels_and_head_is_a_site(network):
    seams = find_seams(network)
    assert seams == hf_vit_seams(network)
    maps = {n for n, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    assert {site.module for site in seams.sites} == maps - {"classifier"}
    assert seams.components == COMPONENTS
    assert len(seams.sites) == 13
    assert seams.heads == ("classifier",)
    assert set(seams.embeddings) == {n for n, _ in network.named_parameters() if n.count(".") == 2 and "emb" in n}
    assert len(seams.norms) == 5
    assert seams.prefix_tokens == 1


def test_the_branches_of_a_block_are_those_that_it_adds_to_the_stream(network):
    seams = hf_vit_seams(network)
    for block, residual in zip(seams.blocks, seams.residuals, strict=True):
        stream = tokens = torch.randn(1, 17, 24, generator=torch.Generator().manual_seed(0))
        for first, last in (residual.attn, residual.mlp):
            branch = network.get_submodule(last)(network.get_submodule(first)(stream))
            stream = stream + (branch[0] if isinstance(branch, tuple) else branch)
        torch.testing.assert_close(network.get_submodule(block)(tokens), stream)
        assert residual.width == 24


def old_network():
    """Return modules of the names that version 4 gave them."""

    def block():
        tree = nn.Module()
        tree.attention, tree.intermediate, tree.output = nn.Module(), nn.Module(), nn.Module()
        tree.attention.attention, tree.attention.output = nn.Module(), nn.Module()
        for name in ("query", "key", "value"):
            setattr(tree.attention.attention, name, nn.Linear(4, 4))
        tree.attention.output.dense, tree.intermediate.dense = nn.Linear(4, 4), nn.Linear(4, 8)
        tree.output.dense, tree.layernorm_before = nn.Linear(8, 4), nn.LayerNorm(4)
        return tree

    network = nn.Module()
    network.vit, network.classifier = nn.Module(), nn.Linear(4, 2)
    network.vit.encoder, network.vit.embeddings = nn.Module(), nn.Module()
    network.vit.encoder.layer = nn.ModuleList(block() for _ in range(2))
    network.vit.embeddings.patch_embeddings = nn.Module()
    network.vit.embeddings.patch_embeddings.projection = nn.Conv2d(3, 4, 2, 2)
    return network


def test_the_names_of_version_4_are_known_too_but_nothing_behind_its_branches():
    network = old_network()
    seams = hf_vit_seams(network)
    assert seams.components == COMPONENTS
    assert {s.module for s in seams.sites} == {
        n for n, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d) and n != "classifier"
    }
    assert [s.module for s in seams.select(["proj", "fc2"], [1])] == [
        "vit.encoder.layer.1.attention.output.dense",
        "vit.encoder.layer.1.output.dense",
    ]
    assert seams.residuals == ()
    assert seams.prefix_tokens is None
