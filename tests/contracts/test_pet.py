"""Every entry of METHODS keeps what `PETMethod` promises, on every kind of ViT that has one map of seams.

One file, though long: one table of techniques, and what holds for each of them.
"""

import dataclasses
import importlib
import inspect
import json
import pkgutil

import pytest
import timm
import torch

import robustpeft.pet as room
from robustpeft.backbones import ImageClassifier, Normalize, find_seams
from robustpeft.pet import (
    METHOD_AXIS,
    METHODS,
    PEFT,
    SSF,
    VPT,
    Adapter,
    AdapterPlus,
    AdaptFormer,
    BitFit,
    Combined,
    Full,
    FullLoRA,
    LastBlocks,
    LayerNormTuning,
    LinearProbe,
    LNLoRA,
    LoRA,
    NormsAndBiases,
    PeftLoRA,
    PerHeadLoRA,
    PETMethod,
    RankRule,
)
from robustpeft.types import COMPONENTS, Attackable, UserError, from_plain, to_plain

START_FROM_THE_NETWORK = (LinearProbe, Full, NormsAndBiases, BitFit, LayerNormTuning, LastBlocks)

# One or more of each, ranks small enough for 32 channels, enough of ReLUs that some are alive.
EXAMPLES = (
    LinearProbe(),
    Full(),
    NormsAndBiases(),
    LoRA(r=2, alpha=1),
    LoRA(r=3, components=COMPONENTS),
    PeftLoRA(r=3, target_modules=("qkv", "patch_embed.proj"), rslora=True, rank_pattern=(("qkv", 5),)),
    LNLoRA(r=2, alpha=4),
    LNLoRA(r=2, norm="after", blocks=(-1,)),
    LNLoRA(r=2, norm="none", rslora=True),
    LNLoRA(r=2, affine=False, rank_pattern=(RankRule(3, ("fc1",), (0,)), RankRule(0, ("q",)))),
    FullLoRA(r=2, norm="after"),
    PerHeadLoRA(r=3),
    FullLoRA(r=2),
    FullLoRA(r=8, q=False, fc2=False, dropout=0.2),
    Combined((LNLoRA(r=2), NormsAndBiases())),
    Adapter(bottleneck=3),
    Adapter("pfeiffer", bottleneck=4),
    Adapter("post", bottleneck=4),
    AdaptFormer(bottleneck=16, scale=0.5),
    VPT(num_prompts=3),
    VPT(num_prompts=2, deep=True, dropout=0.2),
    Combined((VPT(num_prompts=2, deep=True), AdaptFormer(bottleneck=16), LNLoRA(r=2))),
    Combined((AdaptFormer(bottleneck=16, dropout=0.0), LoRA(r=2, components=("fc1", "fc2")), NormsAndBiases())),
    Combined((Adapter("pfeiffer", bottleneck=2), FullLoRA(r=2))),
    BitFit(),
    LayerNormTuning(),
    LastBlocks(1),
    SSF(),
    SSF(init_std=0.0),
    AdapterPlus(bottleneck=4),
    Adapter("post", bottleneck=4, blocks=(-1,), init="normal"),
    AdaptFormer(bottleneck=8, activation="gelu", blocks=(0,), init="houlsby"),
    VPT(num_prompts=3, init="uniform"),
    PEFT("dora", {"r": 3}),
    PEFT("vera", {"r": 8, "target_modules": ["fc1", "qkv"]}),
    Combined((SSF(), AdaptFormer(bottleneck=16), BitFit())),
    Combined((LastBlocks(1), LoRA(r=2, components=("q", "v")), AdapterPlus(bottleneck=2, blocks=(0,)))),
)
FAMILIES = (
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",  # two heads
    "vit_small_patch14_reg4_dinov2",  # registers and LayerScale
    "vit_base_patch16_clip_224",  # a norm before the blocks, no bias at the patch embedding
)
LABELS = torch.tensor([0, 1, 2])


def small_vit(family=FAMILIES[0], **sizes):
    sizes = {"img_size": 16, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2} | sizes
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model(family, num_classes=3, **sizes)
        for parameter in network.parameters():
            parameter.data.add_(0.05 * torch.randn(parameter.shape))
    normalize = Normalize((0.5, 0.5, 0.5), (0.3, 0.3, 0.3))
    return ImageClassifier(network, normalize, num_classes=3, name=family, seams=find_seams(network)).eval()


def shake(handle):
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in handle.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def size_of(module):
    return sum(t.numel() for t in (*module.parameters(), *module.buffers()))


def tensors_of(model):
    return {name: tensor.clone() for name, tensor in model.network.state_dict().items()}


@pytest.fixture(params=EXAMPLES, ids=lambda m: f"{type(m).__name__}{EXAMPLES.index(m)}")
def method(request):
    return request.param


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def model():
    return small_vit()


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_every_method_of_the_package_is_in_the_table():
    found = {}
    for info in pkgutil.iter_modules(room.__path__):
        module = importlib.import_module(f"{room.__name__}.{info.name}")
        for cls in vars(module).values():
            concrete = isinstance(cls, type) and issubclass(cls, PETMethod) and not inspect.isabstract(cls)
            if concrete and cls.__module__ == module.__name__:
                found[info.name] = cls
    assert dict(METHODS) == found


def test_every_method_of_the_table_is_tried_here():
    assert {type(m) for m in EXAMPLES} == set(METHODS.values())


@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_key_is_the_class_name_in_lower_case_and_the_class_is_final_and_exported(name):
    cls = METHODS[name]
    assert cls.__name__.lower() == name.replace("_", "")
    assert cls.__name__ in room.__all__
    assert cls.__final__


def test_the_value_is_frozen_hashable_and_comes_back_from_json(method):
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.r = 1
    assert len({method, dataclasses.replace(method)}) == 1
    plain = json.loads(json.dumps(to_plain(method, (METHOD_AXIS,))))
    assert METHODS[plain["name"]] is type(method)
    assert from_plain(PETMethod, plain, (METHOD_AXIS,)) == method


def test_attaching_leaves_the_answer_as_it_was_to_the_last_bit_where_that_is_declared(method, family, images):
    model = small_vit(family)
    before = model(images)
    method.attach(model)
    assert torch.equal(model(images), before) is method.identity_at_start


def test_the_count_is_the_closed_form(method, family):
    model = small_vit(family)
    count = method.count(model)
    handle = method.attach(model)
    assert handle.num_parameters - handle.num_head_parameters == count
    assert handle.num_head_parameters == (2 if "distilled" in family else 1) * (3 * 32 + 3)


def test_the_frozen_weights_stay_as_they_were_to_the_last_bit_and_the_trained_ones_all_move(method, family, images):
    model = small_vit(family)
    handle = method.attach(model)
    before = tensors_of(model)
    handle.train()
    optimizer = torch.optim.SGD(handle.parameters(), lr=0.5)
    reached = set()
    for _ in range(2):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), LABELS).backward()
        trained = handle.named_parameters()
        having = {name for name, p in model.network.named_parameters() if p.grad is not None}
        assert having == trained.keys()
        reached |= {name for name, p in trained.items() if p.grad.any()}
        optimizer.step()
    # A shift of all keys alike cancels in the softmax: what reaches it is rounding.
    without_effect = {name for name in handle.named_parameters() if name.endswith("norm_bias.k")}
    assert reached | without_effect == handle.named_parameters().keys()
    after = model.network.state_dict()
    frozen = before.keys() - handle.named_parameters().keys()
    assert all(torch.equal(after[name], before[name]) for name in frozen)
    assert bool(frozen) != isinstance(method, Full)


def test_attaching_tuning_and_detaching_is_as_if_nothing_had_happened(method, family, images):
    model = small_vit(family)
    logits, tensors = model(images), tensors_of(model)
    required = {name: p.requires_grad for name, p in model.named_parameters()}
    modules = {name: type(m) for name, m in model.named_modules()}
    handle = method.attach(model)
    shake(handle)
    assert not torch.equal(model(images), logits)
    handle.detach()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.equal(model(images), logits)
    assert {name: p.requires_grad for name, p in model.named_parameters()} == required
    assert {name: type(m) for name, m in model.named_modules()} == modules
    assert tensors_of(model).keys() == tensors.keys()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in tensors_of(model).items())


def test_the_view_under_attack_answers_as_the_model_does_also_where_it_is_disabled(method, family, images):
    model = small_vit(family)
    handle = method.attach(model)
    shake(handle)
    assert isinstance(model, Attackable)
    torch.testing.assert_close(model.attack_view()(images), model(images), rtol=1e-4, atol=1e-4)
    with model.disabled():
        torch.testing.assert_close(model.attack_view()(images), model(images), rtol=1e-4, atol=1e-4)


def test_the_view_has_the_input_gradient_of_the_model_and_leaves_none_behind(method, images):
    model = small_vit()
    shake(method.attach(model))
    one, other = images.clone().requires_grad_(), images.clone().requires_grad_()
    model.attack_view()(one).square().sum().backward()
    assert all(p.grad is None for p in model.parameters())
    model(other).square().sum().backward()
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-3)


def test_disabled_answers_as_before_attaching_bit_for_bit(method, images):
    model = small_vit()
    before = model(images)
    shake(method.attach(model))
    with model.disabled():
        assert torch.equal(model(images), before)
        assert torch.equal(model.features(images), small_vit().features(images))


def test_the_digest_of_the_frozen_network_knows_nothing_of_it(method):
    model = small_vit()
    digest = model.digest()
    shake(method.attach(model))
    assert model.digest() == digest


def test_saved_and_loaded_into_a_fresh_model_it_answers_the_same_bit_for_bit(method, images, tmp_path):
    model, fresh = small_vit(), small_vit()
    handle = method.attach(model, seed=4)
    shake(handle)
    handle.save(tmp_path)
    loaded = room.load_adapter(fresh, tmp_path, METHOD_AXIS)
    assert loaded.method == method
    assert torch.equal(fresh(images), model(images))


def test_the_seed_and_not_the_global_random_state_decides_how_it_starts(method):
    starts = []
    for global_seed in (0, 1):
        model = small_vit()
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        starts.append(method.attach(model, seed=2).state())
        assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(starts[0][name], starts[1][name]) for name in starts[0])
    other = method.attach(small_vit(), seed=3).state()
    same = all(torch.equal(other[name], starts[0][name]) for name in other)
    keyed = isinstance(method, PEFT) and method.type == "vera"  # its matrices follow a key of their own
    assert same == (keyed or method == SSF(init_std=0.0) or isinstance(method, START_FROM_THE_NETWORK))


def test_it_cannot_be_attached_twice(method, model):
    method.attach(model)
    with pytest.raises(UserError, match="already carries"):
        method.attach(model)


@pytest.mark.parametrize("declared", [True, False])
def test_what_is_declared_mergeable_leaves_nothing_to_compute_and_what_is_not_does(declared, images):
    methods = [m for m in EXAMPLES if m.mergeable is declared]
    bare = size_of(small_vit())
    assert methods
    for method in methods:
        model = small_vit()
        shake(method.attach(model))
        assert (size_of(model.attack_view()) > bare) is not declared
