import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from robustpeft.errors import UserError
from robustpeft.study.targets import load_target
from robustpeft.study.targets.introduce import introduce

transformers = pytest.importorskip("transformers")


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    names = ["class2", "class10", "class1"]
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=16,
        patch_size=8,
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )
    transformers.ViTForImageClassification(config).eval().save_pretrained(tmp_path / "vit")
    said = {"do_normalize": True, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(said))
    return tmp_path / "vit"


def test_network_normalisation_and_classes_are_those_of_the_folder(folder):
    loaded = load_target(str(folder))
    original = transformers.ViTForImageClassification.from_pretrained(folder).eval()
    images = torch.rand(2, 3, 16, 16)
    assert torch.allclose(loaded.model.network(images).logits, original(images).logits, atol=1e-6)
    assert (loaded.normalization.text, loaded.outputs) == ("imagenet", ("class2", "class10", "class1"))
    assert loaded.model.image_size == (16, 16)


def test_its_classes_are_put_into_the_order_of_the_data(folder, shop):
    model, data = introduce(str(folder), shop.photos)
    assert model.columns.tolist() == [2, 0, 1]
    found = next(f for f in model.introduction.findings if f.key == "classes")
    assert (found.source, model.classes) == ("stated", data.classes)


@pytest.mark.parametrize(
    ("said", "name"), [({"do_normalize": False}, "none"), ({"do_normalize": False, "do_rescale": False}, "bytes")]
)
def test_what_is_not_done_before_is_no_normalisation(folder, said, name):
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    assert load_target(str(folder)).normalization.text == name


def test_a_tensor_that_is_missing_is_named(folder):
    state = load_file(folder / "model.safetensors")
    state.pop("classifier.weight")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"1 missing \(classifier.weight\)"):
        load_target(str(folder))


def test_code_beside_the_weights_is_not_run(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "mine",
        "auto_map": {"AutoModelForImageClassification": "mine.Mine", "AutoConfig": "mine.C"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text("raise SystemExit('executed')")
    with pytest.raises(UserError, match="no image classifier that transformers can read"):
        load_target(str(folder))
