import json
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import robustpeft as rp
from robustpeft.errors import UserError
from robustpeft.pet import AdaptFormer, FullLoRA, LoRA
from robustpeft.study.export import export


def tuned(method, seed=0):
    model = rp.load_backbone("digits_vit", num_classes=4)
    model.classes = ("a", "b", "c", "d")
    handle = method.attach(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in handle.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    handle.train(False)
    return model


@pytest.fixture
def images():
    return torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def test_merged_weights_make_the_bare_backbone_answer_the_same(images, tmp_path):
    model = tuned(LoRA(r=2, components=("patch_embed", "q", "v", "fc1")))
    wanted = model(images)
    file = tmp_path / "new" / "merged.safetensors"
    exported = export(model, file)
    assert (exported.path, exported.difference) == (file, None)
    assert torch.equal(model(images), wanted)
    bare = rp.load_backbone("digits_vit", weights=file, num_classes=4)
    assert load_file(file).keys() == bare.network.state_dict().keys()
    torch.testing.assert_close(bare(images), wanted, rtol=0, atol=1e-5)
    assert [f.name for f in file.parent.iterdir()] == ["merged.safetensors"]


def test_the_metadata_say_how_to_use_the_weights(tmp_path):
    model = tuned(LoRA(r=2))
    export(model, tmp_path / "m.safetensors")
    with safe_open(tmp_path / "m.safetensors", framework="pt") as file:
        said = file.metadata()
    assert (said["format"], said["backbone"]) == ("pt", "digits_vit")
    assert json.loads(said["classes"]) == ["a", "b", "c", "d"]
    assert (json.loads(said["num_classes"]), json.loads(said["image_size"])) == (4, [16, 16])
    assert json.loads(said["mean"]) == pytest.approx(model.normalize.mean.flatten().tolist())
    assert json.loads(said["std"]) == pytest.approx(model.normalize.std.flatten().tolist())


def test_a_model_without_an_adapter_is_written_as_it_is(tmp_path):
    model = rp.load_backbone("digits_vit")
    export(model, tmp_path / "m.safetensors")
    written = load_file(tmp_path / "m.safetensors")
    assert all(torch.equal(written[name], tensor) for name, tensor in model.network.state_dict().items())


def test_what_cannot_be_merged_is_refused_and_leaves_nothing_behind(tmp_path):
    with pytest.raises(UserError, match=r"cannot be merged: .* export to ONNX"):
        export(tuned(FullLoRA(r=2)), tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", [FullLoRA(r=2), AdaptFormer(bottleneck=4)], ids=lambda m: type(m).__name__)
def test_onnxruntime_answers_as_the_model_on_images_and_batches_of_any_size(images, tmp_path, method):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = tuned(method)
    exported = export(model, tmp_path / "m.onnx")
    assert exported.difference < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    assert [(i.name, i.shape) for i in session.get_inputs()] == [("images", ["batch", 3, 16, 16])]
    for batch in (images, images[:1]):
        (logits,) = session.run(["logits"], {"images": batch.numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), model(batch), rtol=0, atol=1e-5)
    assert [f.name for f in tmp_path.iterdir()] == ["m.onnx"]


def test_a_file_that_answers_otherwise_is_not_kept(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    module = sys.modules["robustpeft.study.export"]  # the room has a function of the same name
    monkeypatch.setattr(module, "_trace", lambda *_: None)
    monkeypatch.setattr(module, "_difference", lambda *_: 2e-4)
    with pytest.raises(UserError, match=r"logits differ from the model's by 0\.0002; the file was not kept"):
        export(tuned(LoRA(r=2)), tmp_path / "m.onnx")
    monkeypatch.setattr(module, "_difference", lambda *_: float("nan"))
    with pytest.raises(UserError, match="was not kept"):
        export(tuned(LoRA(r=2)), tmp_path / "m.onnx")


def test_without_the_extra_it_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs onnx and onnxscript: pip install 'robustpeft\[export\]'"):
        export(tuned(LoRA(r=2)), tmp_path / "m.onnx")


def test_a_model_that_a_batch_size_is_built_into_is_refused(tmp_path):
    pytest.importorskip("onnxscript")

    class Fixed(torch.nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :2] * len(images)

    model = rp.wrap(Fixed())
    with pytest.raises(UserError, match=r"does not say which image size it takes"):
        export(model, tmp_path / "m.onnx")
    model.image_size = (4, 4)
    with pytest.raises(UserError, match="torch cannot express this model in ONNX"):
        export(model, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_replaced_when_asked(tmp_path):
    file = tmp_path / "m.safetensors"
    file.write_text("mine")
    with pytest.raises(UserError, match=r"m\.safetensors exists"):
        export(tuned(LoRA(r=2)), file)
    assert file.read_text() == "mine"
    export(tuned(LoRA(r=2)), file, overwrite=True)
    assert load_file(file)
    with pytest.raises(UserError, match=r"ends neither in \.safetensors .* nor in \.onnx"):
        export(tuned(LoRA(r=2)), tmp_path / "m.pth")
