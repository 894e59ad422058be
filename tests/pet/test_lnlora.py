import pytest
import torch

from robustpeft.pet import LNLoRA
from robustpeft.types import UserError


def test_the_count_is_the_one_in_the_docstring(build):
    model = build(embed_dim=24, depth=3)
    assert LNLoRA(r=4).count(model) == (18 * 4 * 24 + 18 * 24) * 3


@pytest.mark.parametrize(("norm", "per_block"), [("before", 18), ("none", 0), ("after", 18)])
def test_without_the_norm_or_its_affine_part_the_count_is_that_of_lora(build, norm, per_block):
    # outputs of q, k, v, proj, fc1, fc2: d + d + d + d + 4 d + d, as many as inputs; both are counted twice
    model = build(embed_dim=24, depth=3)
    assert LNLoRA(r=4, norm=norm).count(model) == (18 * 4 * 24 + per_block * 24) * 3
    if norm != "after":
        assert LNLoRA(r=4, norm=norm, affine=False).count(model) == 18 * 4 * 24 * 3


def test_every_block_and_component_has_a_norm_of_its_own(build):
    handle = LNLoRA(r=2).attach(build(depth=12))
    norms = {name for name in handle.named_parameters() if ".adapter.norm_weight." in name}
    layers = {
        "q": "attn.qkv",
        "k": "attn.qkv",
        "v": "attn.qkv",
        "proj": "attn.proj",
        "fc1": "mlp.fc1",
        "fc2": "mlp.fc2",
    }
    assert norms == {f"blocks.{i}.{path}.adapter.norm_weight.{c}" for i in range(12) for c, path in layers.items()}


def test_the_branch_does_not_see_scale_and_offset_of_its_input(model, shake):
    LNLoRA(r=2, components=("fc1",), norm_eps=1e-12).attach(model)
    layer = model.network.get_submodule("blocks.0.mlp.fc1")
    with torch.no_grad():
        layer.adapter.B["fc1"].fill_(1.0)
    tokens = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer.adapter(tokens * 7 + 3), layer.adapter(tokens), rtol=1e-4, atol=1e-5)


def test_the_shift_of_the_norm_before_the_keys_cancels_in_the_softmax(model, images, shake):
    handle = LNLoRA(r=2).attach(model)
    shake(handle)
    before = model(images)
    with torch.no_grad():
        model.network.get_parameter("blocks.0.attn.qkv.adapter.norm_bias.k").add_(1.0)
    torch.testing.assert_close(model(images), before, rtol=1e-4, atol=1e-4)


def test_it_does_not_declare_itself_mergeable():
    assert not LNLoRA.mergeable


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"r": 0}, "r must be at least 1"),
        ({"norm_eps": 0.0}, "eps of a LayerNorm must be positive"),
        ({"alpha": 0}, "alpha"),
    ],
)
def test_hyper_parameters_that_mean_nothing_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        LNLoRA(**fields)
