import importlib.util
from pathlib import Path

import torch
from safetensors import safe_open

from robustpeft.attacks import PGD
from robustpeft.backbones import Backbone
from robustpeft.backbones.digits_vit import DIGITS_VIT, bundled_weights, digits_vit
from robustpeft.data import Digits
from robustpeft.types import Linf


def test_it_is_a_small_vit_for_16_pixel_images_of_ten_classes():
    network = digits_vit()
    assert network(torch.zeros(2, 3, 16, 16)).shape == (2, 10)
    assert len(network.blocks) == DIGITS_VIT["depth"]
    assert sum(p.numel() for p in network.parameters()) < 500_000  # float32 under 2 MB


def test_its_parts_can_be_overridden():
    network = digits_vit(num_classes=3, img_size=32, patch_size=8, depth=1)
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


def test_the_weights_lie_inside_the_package():
    path = bundled_weights()
    assert path.name == "digits_vit.safetensors"
    assert path.parent.name == "backbones"


def test_the_shipped_weights_are_small_right_and_defenceless():
    assert bundled_weights().stat().st_size < 2_000_000
    test = Digits().load(16).test
    batch = next(test.batches(len(test)))
    model = Backbone().load()
    clean = (model(batch.images).argmax(1) == batch.labels).float().mean()
    adversarial = PGD(steps=10)(model, batch.images, batch.labels, Linf(0.1), ids=batch.ids)
    robust = (model(adversarial).argmax(1) == batch.labels).float().mean()
    assert clean > 0.97
    assert robust < 0.01


def test_the_shipped_weights_say_where_they_come_from():
    with safe_open(bundled_weights(), framework="pt") as file:
        facts = file.metadata()
    assert facts["script"] == "scripts/train_digits_vit.py"
    assert {"epochs", "seed", "validation", "test", "torch"} <= facts.keys()


def test_the_script_that_made_them_trains(tmp_path):
    path = Path(__file__).parents[2] / "scripts" / "train_digits_vit.py"
    spec = importlib.util.spec_from_file_location("train_digits_vit", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    model, facts = script.train(epochs=8, directory=tmp_path)
    right, _, n, _ = facts["validation"].split()
    assert int(right) > 0.3 * int(n)  # chance is a tenth
    fresh = Backbone(weights=False).load().frozen_state()
    assert model.frozen_state().keys() == fresh.keys()
    assert not torch.equal(model.frozen_state()["blocks.0.attn.qkv.weight"], fresh["blocks.0.attn.qkv.weight"])
