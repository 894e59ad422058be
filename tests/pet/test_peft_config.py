import pytest

from robustpeft.pet import PeftLoRA
from robustpeft.pet.peft_config import declared_by
from robustpeft.types import UserError

LAYERS = ["", "blocks.0.attn.qkv", "blocks.1.attn.qkv", "blocks.0.mlp.fc1"]


def test_what_peft_writes_by_default_asks_for_nothing_more():
    config = {
        "alora_invocation_tokens": None,
        "auto_mapping": {"base_model_class": "VisionTransformer"},
        "bias": "none",
        "inference_mode": True,
        "init_lora_weights": True,
        "loftq_config": {},
        "lora_bias": False,
        "megatron_core": "megatron.core",
        "peft_type": "LORA",
        "peft_version": "0.21.2",
        "qalora_group_size": 16,
        "r": 4,
        "target_modules": ["qkv"],
    }
    assert declared_by(config, LAYERS) == PeftLoRA(r=4, alpha=8, target_modules=("qkv",))


def test_every_setting_arrives():
    config = {
        "r": 3,
        "lora_alpha": 5,
        "lora_dropout": 0.25,
        "target_modules": ["qkv", "fc1"],
        "use_rslora": True,
        "rank_pattern": {"fc1": 2},
        "alpha_pattern": {"qkv": 1.5},
        "init_lora_weights": "gaussian",
    }
    expected = PeftLoRA(3, 5.0, ("qkv", "fc1"), 0.25, True, (("fc1", 2),), (("qkv", 1.5),))
    assert declared_by(config, LAYERS) == expected


def test_a_string_of_targets_is_a_regular_expression_for_the_whole_path():
    assert declared_by({"target_modules": r"blocks\.\d\.attn\.q.v"}, LAYERS).target_modules == (LAYERS[1], LAYERS[2])
    with pytest.raises(UserError, match="names no layer of this network"):
        declared_by({"target_modules": "qkv"}, LAYERS)
    with pytest.raises(UserError, match="is not a regular expression"):
        declared_by({"target_modules": "("}, LAYERS)


def test_the_defaults_are_those_of_peft():
    assert declared_by({"target_modules": ["qkv"]}, LAYERS) == PeftLoRA(8, 8.0, ("qkv",), 0.0, False, (), ())


@pytest.mark.parametrize("targets", [None, []])
def test_no_target_at_all_is_refused(targets):
    with pytest.raises(UserError, match=r"target_modules = (None|\[\]) names no layer"):
        declared_by({"target_modules": targets}, LAYERS)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("use_dora", True),
        ("lora_bias", True),
        ("bias", "all"),
        ("init_lora_weights", "pissa"),
        ("layers_to_transform", [0]),
        ("exclude_modules", ["fc1"]),
        ("target_parameters", ["x"]),
        ("fan_in_fan_out", True),
        ("something_new", 1),
    ],
)
def test_what_is_not_computed_here_is_refused_by_name(key, value):
    with pytest.raises(UserError, match=f"this LoRA of PEFT's has {key} = "):
        declared_by({"target_modules": ["qkv"], key: value}, LAYERS)
