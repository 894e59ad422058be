import pytest

from robustpeft.pet import NormsAndBiases
from robustpeft.types import UserError


def trained(model, **fields):
    handle = NormsAndBiases(**fields).attach(model)
    return {name for name in handle.named_parameters() if not handle.is_head(name)}


def test_the_count_is_the_one_in_the_docstring(build):
    d, depth = 24, 3
    model = build(embed_dim=d, depth=depth)
    embeddings = d + (16 + 1) * d  # class token, position embedding
    assert NormsAndBiases().count(model) == 13 * d * depth + 3 * d + embeddings
    handle = NormsAndBiases().attach(model)
    assert handle.num_parameters - handle.num_head_parameters == 13 * d * depth + 3 * d + embeddings


def test_each_kind_can_be_chosen_alone(build):
    norms = trained(build(depth=1), biases=False, embeddings=False)
    assert norms == {f"{n}.{leaf}" for n in ("blocks.0.norm1", "blocks.0.norm2", "norm") for leaf in ("weight", "bias")}
    layers = ("patch_embed.proj", "blocks.0.attn.qkv", "blocks.0.attn.proj", "blocks.0.mlp.fc1", "blocks.0.mlp.fc2")
    assert trained(build(depth=1), norms=False, embeddings=False) == {f"{layer}.bias" for layer in layers}
    assert trained(build(depth=1), norms=False, biases=False) == {"cls_token", "pos_embed"}


def test_registers_and_the_distillation_token_are_embeddings(build):
    only = {"norms": False, "biases": False}
    assert "dist_token" in trained(build("deit_tiny_distilled_patch16_224"), **only)
    assert "reg_token" in trained(build("vit_small_patch14_reg4_dinov2"), **only)


def test_nothing_at_all_is_refused():
    with pytest.raises(UserError, match="use linear_probe"):
        NormsAndBiases(norms=False, biases=False, embeddings=False)
