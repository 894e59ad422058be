import json
import pickle

import pytest
import torch

import robustpeft
from robustpeft.backbones import wrap
from robustpeft.pet import METHOD_AXIS, FullLoRA, LinearProbe, LNLoRA, LoRA, NormsAndBiases, load_adapter
from robustpeft.pet.files import saved_classes
from robustpeft.types import UserError

CONFIG, WEIGHTS, SIDECAR = "adapter_config.json", "adapter_model.safetensors", "robustpeft.json"


@pytest.fixture
def saved(build, shake, tmp_path):
    handle = LNLoRA(r=2).attach(build())
    shake(handle)
    handle.save(tmp_path / "adapter")
    return tmp_path / "adapter"


def load(model, directory):
    return load_adapter(model, directory, METHOD_AXIS)


def refused(model, directory, message):
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    with pytest.raises(UserError, match=message):
        load(model, directory)
    assert model.attachments == []
    after = model.network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "method",
    [LoRA(r=2, alpha=1), FullLoRA(r=3, k=False, dropout=0.1), LinearProbe(), LNLoRA(r=2) + NormsAndBiases()],
    ids=lambda m: type(m).__name__,
)
def test_in_a_fresh_model_the_logits_are_the_same_bit_for_bit(build, images, shake, tmp_path, method):
    model = build()
    handle = method.attach(model)
    shake(handle)
    handle.save(tmp_path / "a" / "b")
    fresh = build()
    loaded = load(fresh, tmp_path / "a" / "b")
    assert loaded.method == method
    assert torch.equal(fresh(images), model(images))
    assert {p.name for p in (tmp_path / "a" / "b").iterdir()} == {CONFIG, WEIGHTS, SIDECAR}


def test_only_trained_tensors_are_written_the_head_among_them(saved):
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(saved / WEIGHTS, framework="pt") as file:
        assert file.metadata() == {"format": "pt"}  # which other libraries ask for
    names = load_file(saved / WEIGHTS).keys()
    assert {"head.weight", "head.bias"} <= names
    assert all(".adapter." in name or name.startswith("head.") for name in names)


def test_the_type_is_one_that_no_other_loader_takes_for_its_own(saved):
    config = json.loads((saved / CONFIG).read_text())
    assert config["peft_type"] == "ROBUSTPEFT_LNLORA"
    assert config["method"]["name"] == "lnlora"
    assert config["method"]["r"] == 2


def test_saving_again_replaces_what_was_there(build, images, shake, saved):
    model = build()
    handle = load(model, saved)
    shake(handle, seed=8)
    handle.save(saved)
    fresh = build()
    load(fresh, saved)
    assert torch.equal(fresh(images), model(images))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"embed_dim": 24}, r"does not fit LNLoRA\(r=2.*of another shape \['blocks\.0"),
        ({"depth": 1}, r"unexpected \['blocks\.1\.attn\.proj\.adapter"),
        ({"depth": 3}, r"missing \['blocks\.2\.attn\.proj\.adapter"),
        ({"classes": 7}, r"of another shape .*head\.(weight|bias) is \(5"),
    ],
)
def test_an_adapter_of_a_network_of_other_sizes_is_refused(build, saved, sizes, message):
    refused(build(**sizes), saved, message)


def test_another_backbone_of_the_same_sizes_is_refused_by_its_digest(build, saved):
    refused(
        build(seed=1), saved, r"belongs to other weights of vit_tiny_patch16_224: its digest is \w{12}\.\.\., these"
    )


def test_the_sidecar_says_what_it_belongs_to(build, tmp_path):
    model = build()
    model.classes, model.image_size = tuple("abcde"), (16, 16)
    LoRA(r=2).attach(model).save(tmp_path)
    said = json.loads((tmp_path / SIDECAR).read_text())
    assert said["backbone_digest"] == build().digest()
    assert said["backbone_name"] == "vit_tiny_patch16_224"
    assert (said["classes"], said["image_size"]) == (list("abcde"), [16, 16])
    assert said["mean"] == pytest.approx([0.4, 0.5, 0.6])
    assert said["std"] == pytest.approx([0.2, 0.3, 0.4])
    assert said["method"]["name"] == "lora"
    assert said["robustpeft"] == robustpeft.__version__


def test_an_adapter_of_ours_without_its_sidecar_is_refused(model, saved):
    (saved / SIDECAR).unlink()
    refused(model, saved, "robustpeft.json is missing, which says what it belongs to")


def test_a_damaged_sidecar_is_refused(model, saved):
    (saved / SIDECAR).write_text("[]")
    refused(model, saved, r"robustpeft\.json is damaged")


def test_a_class_that_the_files_name_is_not_imported_unasked(model, saved, tmp_path, monkeypatch):
    (tmp_path / "lies_here.py").write_text("raise ZeroDivisionError('executed')")
    monkeypatch.syspath_prepend(tmp_path)
    config = saved / CONFIG
    config.write_text(config.read_text().replace('"lnlora"', '"lies_here:Evil"'))
    refused(model, saved, "names lies_here:Evil, which is not part of robustpeft; nothing was imported")
    with pytest.raises(ZeroDivisionError, match="executed"):
        load_adapter(model, saved, trust=True)


def test_a_saved_adapter_says_how_many_classes_it_knows(build, tmp_path):
    model = build(classes=3)
    model.classes = ("a", "b", "c")
    for i, method in enumerate((LoRA(r=2), LNLoRA(r=2))):
        handle = method.attach(model)
        handle.save(tmp_path / str(i))
        handle.detach()
        assert saved_classes(build(), tmp_path / str(i)) == (3, ("a", "b", "c"))
    (tmp_path / "0" / SIDECAR).unlink()
    assert saved_classes(build(), tmp_path / "0") == (3, ())
    assert saved_classes(wrap(torch.nn.Flatten()), tmp_path / "0") == (None, ())  # it has no head that is known
    (tmp_path / "0" / WEIGHTS).write_bytes(b"garbage")
    with pytest.raises(UserError, match=r"is damaged \(SafetensorError: "):
        saved_classes(build(), tmp_path / "0")
    with pytest.raises(UserError, match="no adapter in"):
        saved_classes(build(), tmp_path / "2")


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_missing_file_is_named(model, saved, name):
    (saved / name).unlink()
    refused(model, saved, f"no adapter in .*{name} is missing$")


def test_a_directory_that_is_not_there_is_named(model, tmp_path):
    refused(model, tmp_path / "nowhere", "no adapter in .*nowhere")


@pytest.mark.parametrize("name", ["adapter_model.bin", "weights.pth", "x.pt"])
def test_a_pickle_in_place_of_the_weights_is_not_loaded(model, saved, name):
    (saved / WEIGHTS).rename(saved / name)
    refused(model, saved, f"{name} is a pickle, which is never loaded as an adapter")


class Fires:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


@pytest.mark.parametrize("content", [b"", b"garbage" * 9, pickle.dumps(Fires())], ids=["empty", "garbage", "pickle"])
def test_weights_that_are_damaged_or_something_else_are_refused(model, saved, content):
    (saved / WEIGHTS).write_bytes(content)
    refused(model, saved, r"the adapter in .* is damaged \(SafetensorError")


def test_weights_that_were_cut_off_are_refused(model, saved):
    content = (saved / WEIGHTS).read_bytes()
    (saved / WEIGHTS).write_bytes(content[: len(content) // 2])
    refused(model, saved, "is damaged")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"is damaged \(JSONDecodeError"),
        (b"\xff\xfe\x00", r"is damaged \(UnicodeDecodeError"),
        (b"[]", r"is damaged \(TypeError"),
        (b"{}", r"is damaged \(KeyError: 'peft_type'"),
        (b'{"peft_type": "LOHA", "r": 8}', "is a LOHA adapter; of PEFT's own techniques, LORA is read here"),
        (b'{"peft_type": "ROBUSTPEFT_LORA"}', r"is damaged \(KeyError: 'method'"),
        (
            b'{"peft_type": "ROBUSTPEFT_X", "method": {"name": "lnlra"}}',
            r"unknown method 'lnlra'; did you mean 'lnlora'",
        ),
        (b'{"peft_type": "ROBUSTPEFT_X", "method": {"name": "lnlora", "rank": 2}}', "unknown key 'method.rank'"),
        (b'{"peft_type": "ROBUSTPEFT_X", "method": {"name": "lnlora", "r": 0}}', "method: r must be at least 1; got 0"),
        (b'{"peft_type": "ROBUSTPEFT_X", "method": {"name": "lnlora", "r": 4}}', "of another shape"),
        (b'{"peft_type": "ROBUSTPEFT_X", "method": "lora"}', "does not fit LoRA"),
        (b'{"peft_type": "ROBUSTPEFT_X", "method": {"name": "fractions:Fraction"}}', "is not a method"),
    ],
)
def test_a_config_that_is_damaged_foreign_or_of_another_method_is_refused(model, saved, content, message):
    (saved / CONFIG).write_bytes(content)
    refused(model, saved, message)


def test_a_model_that_carries_something_already_is_refused(model, saved):
    LoRA(r=2).attach(model)
    with pytest.raises(UserError, match="already carries LoRA"):
        load(model, saved)
    assert len(model.attachments) == 1
