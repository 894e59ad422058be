import json

import pytest
import torch

from robustpeft.backbones import wrap
from robustpeft.errors import UserError
from robustpeft.pet import METHOD_AXIS, PEFT, NormsAndBiases, PETMethod, load_adapter
from robustpeft.types import from_plain, to_plain

pytest.importorskip("peft")

LINEAR = {f"blocks.{i}.{layer}" for i in range(2) for layer in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")}
WIDTHS = 2 * (96 + 32 + 128 + 32)


def read(plain):
    return from_plain(PETMethod, plain, (METHOD_AXIS,), "method")


def test_a_recipe_names_it_by_peft_and_its_type_with_pefts_keys_beside_it():
    method = read({"name": "peft:dora", "r": 4, "target_modules": ["qkv"], "rank_pattern": {"fc1": 2}})
    assert method == PEFT("dora", {"r": 4, "target_modules": ("qkv",), "rank_pattern": {"fc1": 2}})
    assert read("peft:vera") == PEFT("vera")
    plain = json.loads(json.dumps(to_plain(method, (METHOD_AXIS,))))
    assert plain["name"] == "peft"
    assert read(plain) == method
    with pytest.raises(UserError, match="peft:dora has no key 'rank'; did you mean"):
        read({"name": "peft:dora", "rank": 4})
    with pytest.raises(UserError, match="cannot import 'lora'"):
        read("lora:dora")


def test_the_options_do_not_change_and_have_a_hash():
    given = {"r": 4, "target_modules": ["qkv"]}
    method = PEFT("dora", given)
    given["r"] = 8
    given["target_modules"].append("proj")
    assert method == PEFT("dora", {"target_modules": ["qkv"], "r": 4})
    assert len({method, PEFT("dora", {"target_modules": ["qkv"], "r": 4}), PEFT("dora", {"r": 4})}) == 2
    assert repr(method) == "PEFT(type='dora', options={'r': 4, 'target_modules': ('qkv',)})"
    with pytest.raises(TypeError):
        method.options["r"] = 1


def test_without_target_modules_every_linear_map_of_the_blocks_is_adapted_and_keys_values_and_fc2_by_ia3(build):
    model = build()
    assert PEFT("vera", {"r": 4}).attach(model).layers().keys() == LINEAR
    model = build()
    handle = PEFT("ia3").attach(model)
    assert handle.layers().keys() == {name for name in LINEAR if name.endswith(("qkv", "fc2"))}
    shapes = {path: layer.adapter.ia3_l["default"].shape for path, layer in handle.layers().items()}
    assert shapes["blocks.1.attn.qkv"] == (96, 1)
    assert shapes["blocks.1.mlp.fc2"] == (1, 128)


@pytest.mark.parametrize(
    ("method", "count"),
    [
        (PEFT("dora", {"r": 4}), 4 * 2 * (32 + 96 + 32 + 32 + 32 + 128 + 128 + 32) + WIDTHS),
        (PEFT("vera", {"r": 4}), WIDTHS + 8 * 4),
        (PEFT("ia3"), 2 * (96 + 128)),
        (PEFT("vblora", {"vector_length": 32, "num_vectors": 8, "r": 4, "topk": 2}), 1280),  # one bank for all layers
    ],
)
def test_the_count_is_what_peft_adds_shared_parameters_once(method, count, model):
    assert method.count(model) == count
    handle = method.attach(model)
    assert handle.num_parameters - handle.num_head_parameters == count == method.count(model)


@pytest.mark.parametrize("kind", ["dora", "vera", "ia3", "oft", "loha", "lokr"])
def test_tuned_saved_loaded_and_merged_it_answers_the_same(kind, build, images, shake, tmp_path):
    method = PEFT(kind, {"oft_block_size": 8} if kind == "oft" else {} if kind == "ia3" else {"r": 4})
    model, fresh = build(), build()
    before = model(images)
    handle = method.attach(model, seed=7)
    assert torch.equal(model(images), before) is method.identity_at_start
    shake(handle)
    tuned = model(images)
    handle.save(tmp_path)
    loaded = load_adapter(fresh, tmp_path)
    assert torch.equal(fresh(images), tuned)
    loaded.merge()
    torch.testing.assert_close(fresh(images), tuned, rtol=0.0, atol=1e-5)
    assert fresh.network.state_dict().keys() == build().network.state_dict().keys()
    handle.detach()
    assert torch.equal(model(images), before)
    assert all(torch.equal(t, build().network.state_dict()[n]) for n, t in model.network.state_dict().items())


def test_biases_of_adapted_layers_may_be_trained_too(build, images, shake):
    model = build()
    before = model(images)
    handle = (PEFT("dora", {"r": 2}) + NormsAndBiases()).attach(model)
    assert "blocks.0.attn.qkv.bias" in handle.named_parameters()
    shake(handle)
    torch.testing.assert_close(model.attack_view()(images), model(images), rtol=1e-4, atol=1e-5)
    with model.disabled():
        assert torch.equal(model(images), before)
    handle.detach()
    assert torch.equal(model(images), before)


def test_an_init_of_ones_own_is_not_declared_the_identity():
    assert PEFT("lora").identity_at_start
    assert not PEFT("lora", {"init_lora_weights": False}).identity_at_start
    assert not PEFT("fourierft").identity_at_start


def test_the_head_is_refused_and_networks_without_seams_need_targets(model, images):
    with pytest.raises(UserError, match="adapts head, the head, which is trained as a whole"):
        PEFT("lora", {"target_modules": ["qkv", "head"]}).attach(model)
    own = wrap(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 4), torch.nn.Linear(4, 2)))
    with pytest.raises(UserError, match="belongs to no family"):
        PEFT("lora").attach(own)
    PEFT("lora", {"r": 2, "target_modules": ["1"]}).attach(own)
    assert own(images).shape == (3, 2)
