import copy
import sys
from types import MappingProxyType

import pytest
import torch
from torch.nn import functional as F

from robustpeft.errors import UserError
from robustpeft.pet.peft_bridge import TYPES, PeftLayer, check_options, inject
from robustpeft.types import derive_seed, frozen_twin

peft = pytest.importorskip("peft")

LAYERS = ["blocks.0.attn.qkv", "blocks.1.mlp.fc2"]
# Sizes that divide 32, 96 and 128 channels; every other type takes r.
OPTIONS = {
    "adalora": {"init_r": 4, "target_r": 2},
    "c3a": {"block_size": 8},
    "fourierft": {"n_frequency": 30},
    "ia3": {"feedforward_modules": LAYERS[1:]},
    "oft": {"oft_block_size": 8},
    "road": {"group_size": 8},
    "vblora": {"vector_length": 32, "num_vectors": 8, "r": 4},
    "waveft": {"n_frequency": 30},
}


def options_of(kind):
    return OPTIONS.get(kind, {"r": 4}) | {"target_modules": LAYERS}


def put(network, modules):
    for path, module in modules.items():
        parent, _, leaf = path.rpartition(".")
        setattr(network.get_submodule(parent), leaf, module)


@torch.no_grad()
def shake(module, names, seed=0):
    generator = torch.Generator().manual_seed(seed)
    parameters = dict(module.named_parameters())
    for name in names:
        parameters[name].add_(0.1 * torch.randn(parameters[name].shape, generator=generator))


def injected(model, kind, seed=3):
    """Return a copy of the network with PEFT's layers in it, and the names of what they added."""
    network = copy.deepcopy(model.network).requires_grad_(False)
    before = {name for name, _ in network.named_parameters()}
    put(network, inject(network, kind, options_of(kind), seed))
    return network.eval(), [name for name, _ in network.named_parameters() if name not in before]


@pytest.mark.parametrize("kind", TYPES)
def test_it_computes_what_pefts_own_model_of_the_bare_network_does(kind, model, images):
    network, added = injected(model, kind, seed=0)
    config = {"dora": ("LORA", {"use_dora": True}), "adalora": ("ADALORA", {"total_step": 9})}
    config = config.get(kind, (kind.upper(), {}))
    make = peft.mapping.PEFT_TYPE_TO_CONFIG_MAPPING[config[0]]
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(0, "peft"))
        theirs = peft.get_peft_model(copy.deepcopy(model.network), make(**options_of(kind), **config[1])).eval()
    names = [f"base_model.model.{name.replace('.adapter.', '.')}" for name in added]
    trained = [name for name, p in theirs.named_parameters() if p.requires_grad]
    assert sorted(names) == sorted(trained)
    with torch.no_grad():
        torch.testing.assert_close(network(images), theirs(images), rtol=0.0, atol=1e-6)
        shake(network, added)
        shake(theirs, names)
        moved = network(images)
        torch.testing.assert_close(moved, theirs(images), rtol=0.0, atol=1e-6)
        assert not torch.allclose(moved, model.network(images), atol=1e-3)


@pytest.mark.parametrize("kind", TYPES)
def test_the_network_is_not_changed_and_the_frozen_tensors_keep_their_names_and_storage(kind, model):
    before = dict(model.network.named_parameters())
    values = {name: p.clone() for name, p in before.items()}
    modules = inject(model.network, kind, options_of(kind), 3)
    assert list(modules) == LAYERS
    assert {name: id(p) for name, p in model.network.named_parameters()} == {n: id(p) for n, p in before.items()}
    assert all(torch.equal(p, values[name]) and p.requires_grad for name, p in before.items())
    for path, module in modules.items():
        assert module.weight is before[f"{path}.weight"]
        assert module.bias is before[f"{path}.bias"]
        assert module.adapter.base_layer is model.network.get_submodule(path)
        assert (module.in_features, module.out_features) == module.weight.shape[::-1]


@pytest.mark.parametrize("kind", TYPES)
def test_what_does_not_train_is_the_same_for_every_seed_and_what_trains_starts_by_it(kind, model):
    one, other, again = (injected(model, kind, seed)[0] for seed in (1, 2, 1))
    names = {name for name, _ in one.named_parameters(remove_duplicate=False)}
    start, second, third = (module.state_dict() for module in (one, other, again))
    assert all(torch.equal(start[name], third[name]) for name in start)
    assert all(torch.equal(start[name], second[name]) for name in start.keys() - names)
    random = {"gralora", "lokr", "loha", "lora", "dora", "c3a", "fourierft"}
    if kind in random:
        assert not all(torch.equal(start[name], second[name]) for name in names)


@pytest.mark.parametrize("kind", TYPES)
def test_folded_and_switched_off_it_is_the_merged_and_the_frozen_layer(kind, model, images):
    network, added = injected(model, kind)
    shake(network, added)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        twin = frozen_twin(network)
        assert not any(isinstance(module, PeftLayer) for module in twin.modules())
        torch.testing.assert_close(twin(images), network(images), rtol=1e-4, atol=1e-5)
        for module in network.modules():
            if isinstance(module, PeftLayer):
                module.enabled = False
        off = frozen_twin(network)
        assert torch.equal(network(images), model.network(images))
        assert torch.equal(off(images), model.network(images))
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert {n for n, p in network.named_parameters() if p.requires_grad} == set(added)


@pytest.mark.parametrize("kind", TYPES)
def test_the_gradient_reaches_all_that_was_added_and_nothing_else(kind, model, images):
    network, added = injected(model, kind)
    shake(network, added)
    F.cross_entropy(network(images), torch.tensor([0, 1, 2])).backward()
    assert {name for name, p in network.named_parameters() if p.grad is not None and p.grad.any()} == set(added)


def test_the_copy_that_peft_works_on_leaves_the_random_state_alone(model):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    inject(model.network, "lora", {"r": 2, "target_modules": LAYERS}, 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_added_parameters_are_float32_beside_weights_in_half_precision(model):
    network = copy.deepcopy(model.network).bfloat16()
    modules = inject(network, "lora", {"r": 2, "target_modules": LAYERS}, 0)
    parameters = dict(modules[LAYERS[0]].named_parameters())
    assert parameters["adapter.lora_A.default.weight"].dtype == torch.float32
    assert parameters["weight"].dtype == torch.bfloat16
    answer = modules[LAYERS[0]](torch.zeros(1, 32, dtype=torch.bfloat16))
    assert answer.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("osf", {}, "peft:osf is not offered: it projects the gradients while it trains"),
        ("adalora", {"r": 4}, "peft:adalora takes no 'r' here: say init_r"),
        ("adalora", {"total_step": 4}, "takes no 'total_step' here: it is the number of steps of tuning"),
        ("prefix_tuning", {}, "for a ViT use vpt"),
        ("boft", {}, "peft:boft is not offered: it is not tested here; there are adalora, c3a, delora"),
        ("dorra", {}, "PEFT has none of that name; did you mean 'dora'"),
        ("dora", {"rr": 3}, "peft:dora has no key 'rr'; did you mean 'r'"),
        ("dora", {"bias": "all"}, r"takes no 'bias' here: add BitFit\(\)"),
        ("lora", {"modules_to_save": ["head"]}, "takes no 'modules_to_save' here: the head is trained anyway"),
    ],
)
def test_what_is_not_offered_is_refused_before_any_network_is_seen(kind, options, message):
    with pytest.raises(UserError, match=message):
        check_options(kind, options)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("lora", {"init_lora_weights": "pissa"}, "changes the frozen weight of blocks.0.attn.qkv at its start"),
        ("lora", {"init_lora_weights": "olora"}, "changes the frozen weight of blocks.0.attn.qkv at its start"),
        ("lora", {"r": 0}, "peft:lora on this network: `r` should be a positive integer"),
        ("vera", {"target_modules": ["nothing"]}, "peft:vera on this network: No layers types compatible with VeRA"),
        ("oft", {"oft_block_size": 8, "r": 4}, "peft:oft on this network"),
        ("lora", {"layer_replication": [[0, 2]]}, "peft:lora on this network"),
        ("lora", {"target_modules": ["norm1"]}, "peft:lora on this network: Target module LayerNorm.*not supported"),
    ],
)
def test_what_peft_refuses_or_would_do_to_frozen_weights_is_refused_and_leaves_them_alone(
    kind, options, message, model, images
):
    with torch.no_grad():
        before = model.network(images)
        with pytest.raises(UserError, match=message):
            inject(model.network, kind, {"target_modules": LAYERS} | options, 1)
        assert torch.equal(model.network(images), before)


def test_without_the_extra_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    monkeypatch.delitem(sys.modules, "peft.mapping", raising=False)
    with pytest.raises(UserError, match=r"needs the library peft .*; install it with pip install 'robustpeft\[peft\]'"):
        check_options("dora", MappingProxyType({"r": 8}))
