"""Every technique keeps what `PETMethod` promises on every family on which it is promised, and is refused elsewhere.

One file, though long: two tables, of networks and of the techniques that work on them, and what holds for every pair.
"""

import dataclasses

import pytest
import timm
import torch
from torch.nn import functional as F

import robustpeft.pet as room
from robustpeft.backbones import FAMILIES, wrap
from robustpeft.backbones.fused_bias import call_the_qkv_layers
from robustpeft.pet import METHOD_AXIS, VPT, Adapter, AdaptFormer, FullLoRA, LNLoRA, LoRA
from robustpeft.types import UserError

TOKENS = {"img_size": 16, "patch_size": 4, "num_classes": 3}
# Windows of 3 x 3 on maps of 8 x 8 and 4 x 4 tokens: padded in each block, shifted in every other one.
STAGES = {"img_size": 32, "patch_size": 4, "embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4), "window_size": 3}
FLAT = TOKENS | {"embed_dim": 32, "depth": 2, "num_heads": 2}
CONVIT = TOKENS | {"embed_dim": 8, "depth": 2, "num_heads": 4, "local_up_to_layer": 1}
NETWORKS = {
    "swin": ("swin_tiny_patch4_window7_224", STAGES | {"num_classes": 3}),
    "swin_v2": ("swinv2_tiny_window8_256", STAGES | {"num_classes": 3}),
    "convit": ("convit_tiny", CONVIT),
    "dinov3": ("vit_small_patch16_dinov3", FLAT | {"init_values": 0.5}),
    "eva02": ("eva02_base_patch14_224", FLAT),
    "eva_fused": ("eva02_tiny_patch14_224", FLAT),
}
LOW_RANK = (LoRA(r=2, alpha=3), LNLoRA(r=2), FullLoRA(r=2))
BEHIND = (Adapter(bottleneck=3), Adapter("pfeiffer", bottleneck=3), Adapter("post", bottleneck=3))
BESIDE = (AdaptFormer(bottleneck=8, scale=0.5, dropout=0.0),)
PROMPTS = (VPT(num_prompts=2), VPT(num_prompts=2, deep=True))
WORKS = {
    "swin": LOW_RANK + BEHIND + BESIDE,
    "swin_v2": LOW_RANK,
    "convit": LOW_RANK + BEHIND + BESIDE,
    "dinov3": LOW_RANK + BEHIND,
    "eva02": LOW_RANK + BEHIND + BESIDE,
    "eva_fused": LOW_RANK,
    "hf_vit": LOW_RANK + BEHIND + BESIDE + PROMPTS,
}
REFUSED = {
    "swin": [(m, "this swin take no sequence of tokens that could hold prompts") for m in PROMPTS],
    "swin_v2": [
        *((m, r"the blocks of this swin are not x \+ attn") for m in BEHIND + BESIDE),
        (VPT(), "this swin take no sequence of tokens"),
    ],
    "convit": [(VPT(), "this convit take no sequence of tokens")],
    "dinov3": [
        (VPT(), "this eva take no sequence of tokens"),
        (AdaptFormer(), "branches of this eva only the end is known.*such as adapter"),
    ],
}


def network_of(kind):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "hf_vit":
            transformers = pytest.importorskip("transformers")
            sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
            config = transformers.ViTConfig(**sizes, image_size=16, patch_size=4, num_labels=3)
            network = transformers.ViTForImageClassification(config)
        else:
            name, sizes = NETWORKS[kind]
            network = timm.create_model(name, **sizes)
        for parameter in network.parameters():
            parameter.data.add_(0.05 * torch.randn(parameter.shape))
    call_the_qkv_layers(network)
    return network.eval()


def build(kind):
    """Return the classifier, frozen: ConViT's products round otherwise when a gradient is wanted."""
    return wrap(network_of(kind), mean=(0.5,) * 3, std=(0.3,) * 3).requires_grad_(False)


def images_of(model):
    return torch.rand(3, 3, *model.image_size, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def shake(handle):
    generator = torch.Generator().manual_seed(5)
    for parameter in handle.parameters():
        parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


@torch.no_grad()
def answer(model):
    return model(images_of(model))


@torch.no_grad()
def view_answer(model):
    return model.attack_view()(images_of(model))


def tensors_of(model):
    return {name: tensor.clone() for name, tensor in model.network.state_dict().items()}


def name_of(kind, method):
    return f"{kind}-{type(method).__name__}{getattr(method, 'position', '')}{'deep' * getattr(method, 'deep', False)}"


def pairs(table):
    return [
        pytest.param(kind, method, id=name_of(kind, method)) for kind, methods in table.items() for method in methods
    ]


@pytest.mark.parametrize(("kind", "method"), pairs(WORKS))
def test_it_starts_as_nothing_trains_what_it_adds_alone_and_leaves_no_trace(kind, method):
    model = build(kind)
    logits, tensors = answer(model), tensors_of(model)
    handle = method.attach(model)
    assert torch.equal(answer(model), logits) is method.identity_at_start
    torch.testing.assert_close(view_answer(model), answer(model), rtol=0.0, atol=1e-5)
    assert handle.num_parameters - handle.num_head_parameters == method.count(model) > 0
    assert handle.num_head_parameters == 3 * model.network.get_submodule(model.seams.heads[0]).in_features + 3
    shake(handle)
    shaken = answer(model)
    assert not torch.allclose(shaken, logits, atol=1e-3)
    torch.testing.assert_close(view_answer(model), shaken, rtol=0.0, atol=1e-5)
    with model.disabled():
        assert torch.equal(answer(model), logits)
    handle.train()
    F.cross_entropy(model(images_of(model)), torch.tensor([0, 1, 2])).backward()
    assert {n for n, p in model.network.named_parameters() if p.grad is not None} == handle.named_parameters().keys()
    # A shift of all keys alike cancels in a softmax without rotary positions: what reaches it is rounding.
    assert all(p.grad.any() for n, p in handle.named_parameters().items() if not n.endswith("norm_bias.k"))
    torch.optim.SGD(handle.parameters(), lr=0.5).step()
    after = model.network.state_dict()
    assert all(torch.equal(after[n], t) for n, t in tensors.items() if not handle.is_head(n))
    handle.detach()
    assert torch.equal(answer(model), logits)
    assert tensors_of(model).keys() == tensors.keys()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in tensors_of(model).items())


@pytest.mark.parametrize(("kind", "method"), pairs(WORKS))
def test_saved_and_loaded_into_a_fresh_model_it_answers_the_same_bit_for_bit(kind, method, tmp_path):
    model, fresh = build(kind), build(kind)
    handle = method.attach(model)
    shake(handle)
    handle.save(tmp_path)
    room.load_adapter(fresh, tmp_path, METHOD_AXIS)
    assert torch.equal(answer(fresh), answer(model))


@pytest.mark.parametrize(
    ("kind", "method", "message"),
    [pytest.param(kind, *row, id=name_of(kind, row[0])) for kind, rows in REFUSED.items() for row in rows],
)
def test_other_pairs_are_refused_in_a_sentence_before_anything_is_changed(kind, method, message):
    model = build(kind)
    modules = {name: type(m) for name, m in model.named_modules()}
    with pytest.raises(UserError, match=message):
        method.attach(model)
    with pytest.raises(UserError, match=message):
        method.count(model)
    assert {name: type(m) for name, m in model.named_modules()} == modules
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("component", ["q", "k", "v"])
@pytest.mark.parametrize("kind", sorted(WORKS))
def test_lora_on_one_of_queries_keys_and_values_is_that_network_with_w_plus_s_b_a(kind, component):
    model, patched = build(kind), build(kind)
    method = LoRA(r=2, alpha=3, components=(component,))
    handle = method.attach(model)
    shake(handle)
    trained = handle.state()
    with torch.no_grad():
        for name, tensor in trained.items():
            if handle.is_head(name):
                patched.network.get_parameter(name).copy_(tensor)
            elif f".adapter.A.{component}" in name:
                layer = name.partition(".adapter.")[0]
                weight = patched.network.get_submodule(layer).weight
                update = 1.5 * trained[name.replace(".A.", ".B.")] @ tensor
                first = {"q": 0, "k": 1, "v": 2}[component] * len(update) if len(weight) > len(update) else 0
                weight[first : first + len(update)] += update
    assert len(trained) == 2 * len(model.seams.blocks) + 2
    torch.testing.assert_close(answer(model), answer(patched), rtol=0.0, atol=2e-6)


def test_fulllora_adapts_every_linear_map_between_the_pixels_and_the_head_of_a_swin_also_between_its_stages():
    model = build("swin")
    linear = {n for n, m in model.network.named_modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)}
    FullLoRA(r=2).attach(model)
    adapted = {n for n, m in model.network.named_modules() if hasattr(m, "adapter")}
    assert adapted == linear - {"head.fc"}
    without = build("swin")
    FullLoRA(r=2, reduction=False).attach(without)
    left_out = {n for n, m in without.network.named_modules() if hasattr(m, "adapter")}
    assert adapted - left_out == {"layers.1.downsample.reduction"}


def by_hand(bottleneck, tokens):
    """Return an adapter's output on tokens (..., d)."""
    down, up, options = bottleneck.down, bottleneck.up, bottleneck.options
    hidden = tokens @ down.weight.T + down.bias
    hidden = hidden.clamp(min=0) if options.activation == "relu" else F.gelu(hidden)
    return options.scale * (hidden @ up.weight.T + up.bias)


@pytest.mark.parametrize("method", BEHIND + BESIDE, ids=lambda method: name_of("swin", method))
@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_in_a_swin_block_an_adapter_acts_on_the_stream_and_not_on_windows(method, index):
    model, bare = build("swin"), build("swin")
    shake(method.attach(model))
    path = model.seams.blocks[index]
    block, other = model.network.get_submodule(path), bare.network.get_submodule(path)
    side, width = (8, 16) if index < 2 else (4, 32)
    x = torch.randn(2, side, side, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        attended = other._attn(other.norm1(x))
        if method.__class__ is AdaptFormer:
            stream = x + attended
            wanted = stream + other.mlp(other.norm2(stream)) + by_hand(block.mlp.adapter, stream)
        elif method.position == "post":
            wanted = other(x) + by_hand(block.adapter, other(x))
        else:
            stream = x + attended
            if method.position == "houlsby":
                stream = stream + by_hand(block.attn.adapter, attended)
            made = other.mlp(other.norm2(stream))
            wanted = stream + made + by_hand(block.mlp.adapter, made)
        torch.testing.assert_close(block(x), wanted, rtol=1e-5, atol=1e-5)


def test_in_a_block_of_dinov3_an_adapter_stands_behind_the_layer_scale():
    model, bare = build("dinov3"), build("dinov3")
    shake(Adapter(bottleneck=3).attach(model))
    block, other = model.network.blocks[1], bare.network.blocks[1]
    x = torch.randn(2, 21, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        made = other.gamma_1 * other.attn(other.norm1(x))
        stream = x + made + by_hand(block.drop_path1.adapter, made)
        made = other.gamma_2 * other.mlp(other.norm2(stream))
        wanted = stream + made + by_hand(block.drop_path2.adapter, made)
        torch.testing.assert_close(block(x), wanted, rtol=1e-5, atol=1e-5)


def test_the_prompts_of_a_transformers_vit_stand_between_class_token_and_patches_and_leave_at_the_end():
    model, bare = build("hf_vit"), build("hf_vit")
    shake(VPT(num_prompts=2).attach(model))
    inner, layers = bare.network.vit, model.network.vit.layers
    prompts = layers[0].prompts.tokens
    with torch.no_grad():
        tokens = inner.embeddings(bare.normalize(images_of(bare)))
        tokens = torch.cat((tokens[:, :1], prompts.expand(3, -1, -1), tokens[:, 1:]), dim=1)
        for layer in inner.layers:
            tokens = layer(tokens)
        logits = model.network.classifier(inner.layernorm(tokens)[:, 0])
    torch.testing.assert_close(answer(model), logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", sorted(WORKS))
def test_the_features_are_what_the_head_reads(kind):
    model = build(kind)
    with torch.no_grad():
        features = model.features(images_of(model))
        head = model.network.get_submodule(model.seams.heads[0])
        torch.testing.assert_close(head(features), answer(model), rtol=1e-5, atol=1e-5)
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_the_families_say_what_they_cover_by_an_example_that_exists():
    assert {build(kind).seams.family for kind in NETWORKS} == FAMILIES.keys() - {"vit", "hf_vit"}
    for name, family in FAMILIES.items():
        assert family.covers
        assert name == "hf_vit" or timm.is_model(family.example)
    with pytest.raises(dataclasses.FrozenInstanceError):
        FAMILIES["vit"].covers = ""


def default_of(name):
    if name == "combined":
        return room.LNLoRA(r=2) + room.NormsAndBiases()
    if name == "peft":
        return room.PEFT("dora", {"r": 2})
    cls = room.METHODS[name]
    small = {"r": 2} if "r" in cls.__dataclass_fields__ else {}
    return cls(**small)


@pytest.mark.parametrize("name", room.METHODS)
@pytest.mark.parametrize("kind", sorted(WORKS))
def test_every_technique_with_its_defaults_keeps_what_it_declares_or_is_refused_in_attach_and_count_alike(kind, name):
    model, method = build(kind), default_of(name)
    logits = answer(model)
    try:
        count = method.count(model)
    except UserError:
        with pytest.raises(UserError):
            method.attach(model)
        assert name not in ("full", "linear_probe", "bitfit", "lora", "lnlora", "fulllora")
        return
    handle = method.attach(model)
    assert handle.num_parameters - handle.num_head_parameters == count
    # Full tuning of a ConViT wants gradients of its positions, whose product rounds otherwise then.
    assert torch.allclose(answer(model), logits, rtol=0.0, atol=1e-6) is method.identity_at_start
    shake(handle)
    torch.testing.assert_close(view_answer(model), answer(model), rtol=1e-4, atol=1e-4)
    if method.mergeable:
        shaken = answer(model)
        handle.merge()
        torch.testing.assert_close(answer(model), shaken, rtol=1e-4, atol=1e-4)
    else:
        handle.detach()
        assert torch.equal(answer(model), logits)
