import pytest
import torch
from safetensors.torch import save_file

from robustpeft.backbones import Backbone
from robustpeft.errors import UserError
from robustpeft.pet import LoRA
from robustpeft.study import export
from robustpeft.study.targets import Facts, load_target
from robustpeft.study.targets.checkpoint import without_prefix

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def model():
    return Backbone().load()


@pytest.mark.parametrize("words", ["digits_vit", "timm:digits_vit"])
def test_a_name_without_weights_has_the_published_ones(model, words):
    assert torch.equal(load_target(words).model(IMAGES), model(IMAGES))


@pytest.mark.parametrize(
    ("prefix", "file"),
    [
        ("", "w.safetensors"),
        ("module.", "w.safetensors"),
        ("module.model.", "w.pth"),
        ("_orig_mod.", "w.pt"),
        ("1.", "w.pth"),
    ],
)
def test_usual_prefixes_and_wrappers_are_taken_off_and_said(model, tmp_path, prefix, file):
    state = {prefix + name: tensor for name, tensor in model.network.state_dict().items()}
    path = tmp_path / file
    save_file(state, path) if file.endswith("safetensors") else torch.save({"state_dict": state, "epoch": 3}, path)
    loaded = load_target("digits_vit", Facts(weights=str(path)))
    assert torch.equal(loaded.model(IMAGES), model(IMAGES))
    assert bool(loaded.remarks) == bool(prefix)


def test_a_prefix_that_the_network_itself_has_is_left(model):
    tensors, stripped = without_prefix({"model.a": torch.zeros(1)}, ("model.a",))
    assert (list(tensors), stripped) == (["model.a"], "")
    tensors, stripped = without_prefix({"model.a": torch.zeros(1), "b": torch.zeros(1)})
    assert (len(tensors), stripped) == (2, "")


def test_what_export_wrote_says_architecture_normalisation_and_classes(tmp_path):
    tuned = Backbone(num_classes=3, mean=(0.1, 0.2, 0.3)).load()
    tuned.classes = ("a", "b", "c")
    LoRA(r=2).attach(tuned)
    path = export(tuned.eval(), tmp_path / "merged.safetensors").path
    loaded = load_target(str(path))
    assert loaded.outputs == tuned.classes
    assert loaded.normalization.text == "0.1,0.2,0.3/0.5,0.5,0.5"
    loaded.model.normalize = loaded.normalization.module()
    assert torch.allclose(loaded.model(IMAGES), tuned(IMAGES), atol=1e-5)


def test_a_file_and_another_file_contradict_each_other(tmp_path):
    with pytest.raises(UserError, match="would be another"):
        load_target("some.safetensors", Facts(weights="other.safetensors"))
    with pytest.raises(UserError, match="which one is it"):
        load_target("digits_vit", Facts(architecture="vit_tiny_patch16_224"))


def test_a_network_without_a_size_of_its_own_takes_the_published_one():
    import timm

    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=4)
    loaded = load_target("test_resnet", Facts(weights=_saved(network)))
    assert loaded.model.image_size == tuple(network.pretrained_cfg["input_size"][1:])
    sized = load_target("test_resnet", Facts(weights=_saved(network), image_size=32)).model
    assert sized.image_size == (32, 32)
    images = torch.rand(2, 3, 32, 32)
    expected = network.eval()(sized.normalize(images))
    assert torch.allclose(sized(images), expected)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _saved(network):
    save_file(network.state_dict(), "resnet.safetensors")
    return "resnet.safetensors"
