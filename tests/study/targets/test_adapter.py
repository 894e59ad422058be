import json

import pytest
import torch
from safetensors.torch import load_file

from robustpeft.backbones import Backbone
from robustpeft.errors import UserError
from robustpeft.pet import FullLoRA, LoRA
from robustpeft.study.targets import Facts, find_target, kind_of, load_target

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=[LoRA(r=2), FullLoRA(r=2)], ids=["lora", "fulllora"])
def saved(request, tmp_path):
    """Return a model with an adapter that does something, and the folder it was saved to."""
    model = Backbone(num_classes=3).load()
    model.classes = ("a", "b", "c")
    handle = request.param.attach(model)
    chance = torch.Generator().manual_seed(1)
    for parameter in handle.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=chance)
    handle.save(tmp_path / "adapter")
    return model.eval(), tmp_path / "adapter"


def test_ours_names_its_backbone_and_needs_nothing_else(saved):
    model, folder = saved
    loaded = load_target(str(folder))
    assert kind_of(find_target(str(folder))) == "adapter"
    assert loaded.settled
    assert loaded.model.classes == ("a", "b", "c")
    assert torch.allclose(loaded.model(IMAGES), model(IMAGES), atol=1e-6)


def test_other_weights_than_it_was_tuned_on_are_refused(saved, tmp_path):
    from safetensors.torch import save_file

    _, folder = saved
    save_file(Backbone(weights=False).load().network.state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="belongs to other weights"):
        load_target(str(folder), Facts(weights=str(tmp_path / "other.safetensors")))


@pytest.mark.parametrize("saved", [LoRA(r=2)], indirect=True, ids=["lora"])
def test_one_of_pefts_is_put_on_the_network_that_is_named(saved):
    model, folder = saved
    (folder / "robustpeft.json").unlink()
    with pytest.raises(UserError, match="--architecture with a name of timm's"):
        load_target(str(folder))
    loaded = load_target(str(folder), Facts(architecture="digits_vit"))
    assert not loaded.settled
    assert torch.allclose(loaded.model(IMAGES), model(IMAGES), atol=1e-6)


@pytest.mark.parametrize("saved", [LoRA(r=2)], indirect=True, ids=["lora"])
def test_an_adapter_of_other_layers_is_refused_by_name(saved):
    _, folder = saved
    config = json.loads((folder / "adapter_config.json").read_text())
    assert any("lora_A" in name for name in load_file(folder / "adapter_model.safetensors"))
    (folder / "adapter_config.json").write_text(json.dumps(config | {"target_modules": ["blocks.77.attn.qkv"]}))
    (folder / "robustpeft.json").unlink()
    with pytest.raises(UserError, match=r"blocks\.77"):
        load_target(str(folder), Facts(architecture="digits_vit"))
