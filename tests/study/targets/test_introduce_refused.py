"""Whatever a person may get wrong about somebody else's model is refused with a sentence, before any attack."""

import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from robustpeft.errors import UserError
from robustpeft.study.audit_runs import AuditRequest, audit_runs
from robustpeft.study.targets import Facts

Asked = tuple[str, dict[str, Any]]
"""The words that name the target, and what is said besides: fields of `Facts`, `data`, and changes of the plan."""


def named(words: str, **said: Any) -> Callable[[Any], Asked]:
    return lambda shop: (words, said)


def made(name: str, **said: Any) -> Callable[[Any], Asked]:
    return lambda shop: (shop.factory(name), {"trust": True, **said})


def weights(content: Any, file: str = "weights.safetensors", **said: Any) -> Callable[[Any], Asked]:
    def make(shop: Any) -> Asked:
        path = shop.path / file
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif file.endswith(".safetensors"):
            save_file(content(), path)
        else:
            torch.save(content(), path)
        return "digits_vit", {"weights": str(path), **said}

    return make


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("executed",)


def digits(**changes: Any) -> dict[str, torch.Tensor]:
    from robustpeft.backbones import Backbone

    return {**Backbone().load().network.state_dict(), **changes}


def without_head() -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in digits().items() if not name.startswith("head")}


def nan_weights() -> dict[str, torch.Tensor]:
    return digits(**{"norm.weight": torch.full((64,), float("nan"))})


def data_of(change: Callable[[Any], Any]) -> Callable[[Any], Asked]:
    def make(shop: Any) -> Asked:
        change(shop)
        return shop.factory(), {"trust": True, "data": "other"}

    return make


def empty_folder(shop: Any) -> None:
    (shop.path / "other").mkdir()


def other_folder(shop: Any, *classes: str) -> Any:
    for name in classes:
        (shop.path / "other" / name).mkdir(parents=True)
        for i in range(20):
            Image.new("RGB", (16, 16), (i, 2 * i, 3 * i)).save(shop.path / "other" / name / f"{i}.png")
    return shop.path / "other"


def corrupted_image(shop: Any) -> None:
    (other_folder(shop, "class1", "class2", "class10") / "class1" / "3.png").write_bytes(b"\x89PNG nothing")


def huge_image(shop: Any) -> None:
    header = b"P5\n60000 60000\n255\n"
    (other_folder(shop, "class1", "class2", "class10") / "class1" / "huge.pgm").write_bytes(header)


def onnx(content: bytes | None = None, **options: Any) -> Callable[[Any], Asked]:
    def make(shop: Any) -> Asked:
        pytest.importorskip("onnxruntime")
        said = options.pop("said", {})
        path = shop.path / "model.onnx"
        if content is not None:
            path.write_bytes(content)
        else:
            shop.write_onnx(path, **options)
        return "model.onnx", said

    return make


def module_that_cannot_be_imported(shop: Any) -> Asked:
    (shop.path / f"{shop.module}_broken.py").write_text("import a_package_that_is_not_there\n")
    return f"{shop.module}_broken:make", {"trust": True}


def transformers_folder(config: str, *files: str) -> Callable[[Any], Asked]:
    def make(shop: Any) -> Asked:
        folder = shop.path / "folder"
        folder.mkdir()
        (folder / "config.json").write_text(config)
        for file in files:
            (folder / file).write_bytes(b"nothing")
        return "folder", {}

    return make


def bare_adapter(shop: Any) -> Asked:
    (shop.path / "adapter").mkdir()
    (shop.path / "adapter" / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    return "adapter", {}


def unlabelled_file(shop: Any) -> Asked:
    save_file(digits(), shop.path / "some.safetensors")
    return "some.safetensors", {}


BAD: dict[str, tuple[Callable[[Any], Asked], str]] = {
    "nothing there": (named("nowhere"), "not a finished run"),
    "a folder of nothing": (named("photos"), "a folder without any of their files"),
    "wrong architecture": (named("vit_tiny_patch16_242"), "did you mean 'vit_tiny_patch16_224'"),
    "wrong architecture after timm:": (named("timm:digits_vitt", weights="w"), "no weights file at w"),
    "missing weights": (named("digits_vit", weights="gone.pth"), "no weights file at gone.pth"),
    "empty weights": (weights(b""), "is empty; the download may have failed"),
    "web page as weights": (weights(b"<!DOCTYPE html><html>"), "is a web page, not weights"),
    "pointer of Git LFS": (weights(b"version https://git-lfs.github.com/spec/v1\n"), "is a pointer of Git LFS"),
    "damaged safetensors": (weights(b"\xff" * 64), "is not a readable safetensors file"),
    "pickle with code": (weights(pickle.dumps({"a": Malicious()}, 2), "w.pth"), "nothing in it was executed"),
    "another file as weights": (weights(b"text", "w.txt"), "cannot read weights from w.txt"),
    "weights of another network": (weights(lambda: {"head.weight": torch.zeros(3, 4)}), "missing"),
    "keys too many": (weights(lambda: digits(extra=torch.zeros(2))), r"1 unexpected \(extra\)"),
    "no head": (weights(without_head), "has no head"),
    "weights with nan": (weights(nan_weights), r"not finite \(nan or inf\): norm.weight"),
    "file without architecture": (unlabelled_file, "say of which network: --architecture"),
    "another number of classes": (named("digits_vit"), "answers with 10 classes, the data has 3"),
    "code that is not trusted": (made("bright", trust=False), "If you trust it, say so: --trust"),
    "module that is not there": (named("nowhere_at_all:make", trust=True), "no module 'nowhere_at_all'"),
    "module that cannot be imported": (module_that_cannot_be_imported, "a_package_that_is_not_there"),
    "factory that is not there": (made("probabilitys"), "did you mean 'probabilities'"),
    "factory not callable": (made("not_callable"), "is not callable but int"),
    "factory that raises": (made("raises"), r"raised RuntimeError: no disk"),
    "factory with wrong options": (made("bright", options={"depth": 3}), "depth=3"),
    "factory of no module": (made("no_model"), "must return an nn.Module; it returned int"),
    "factory of nan": (made("nan_inside"), "not finite"),
    "model returns a tuple": (made("as_tuple"), "returns a tuple of 2"),
    "model returns a dict": (made("as_dict"), "returns a dict of 1"),
    "logits of one dimension": (made("flat"), r"must return logits \(2, classes\); got \(2,\)"),
    "logits as maps": (made("maps"), r"got \(2, 3, 1, 1\)"),
    "logits not finite": (made("undefined"), "not finite"),
    "model of other images": (made("picky"), "cannot answer images of 16 x 16 pixels"),
    "data folder empty": (data_of(empty_folder), "no images"),
    "data of one class": (data_of(lambda shop: other_folder(shop, "cat")), "answers with 3 classes, the data has 1"),
    "corrupted image": (data_of(corrupted_image), "class1/3.png"),
    "huge image": (data_of(huge_image), "pixels"),
    "no data": (made("bright", data=None), "say which with --data"),
    "data not there": (made("bright", data="nowhere"), "no data 'nowhere'"),
    "epsilon of 8": (made("bright", epsilons=[8]), "did you mean 8 / 255"),
    "negative epsilon": (made("bright", epsilons=[-0.1]), "-0.1"),
    "unknown norm": (made("bright", norm="linv", epsilons=[0.1]), "did you mean 'linf'"),
    "unknown attack": (made("bright", attacks=["pdg"]), "did you mean 'pgd'"),
    "no images asked for": (made("bright", images=0), "images must be at least 1"),
    "claim in percent": (lambda shop: (shop.factory(), {"claimed_clean": 91.3}), r"did you mean 0.913\?"),
    "four numbers": (lambda shop: (shop.factory(), {"normalization": "0,0,0,0/1,1,1,1"}), "3 means"),
    "deviation 0": (lambda shop: (shop.factory(), {"normalization": "0.5/0"}), "positive deviations"),
    "normalisation of bytes": (lambda shop: (shop.factory(), {"normalization": "127/128"}), "divide by 255"),
    "unknown normalisation": (lambda shop: (shop.factory(), {"normalization": "imagnet"}), "mean 'imagenet'"),
    "unknown class order": (lambda shop: (shop.factory(), {"class_order": "alphabet"}), "unknown class order"),
    "crop above 1": (lambda shop: (shop.factory(), {"crop": 87.5}), "crop must be a share"),
    "image size 0": (lambda shop: (shop.factory(), {"image_size": 0}), "image_size must be at least 1"),
    "classes twice": (made("bright", classes="a,b,a"), "names 'a' twice"),
    "classes of another number": (made("bright", classes="class1,class2"), "2 names, the model answers with 3"),
    "classes the data does not have": (made("bright", classes="a,b,c"), "do not have, or have twice: class1"),
    "file of classes not there": (made("bright", classes="names.txt"), "no file of class names at names.txt"),
    "option that says nothing here": (made("bright", architecture="x"), "--architecture says nothing of a target"),
    "undefended model of no run": (made("bright", undefended=True), "there is no undefended model"),
    "onnx not there": (named("gone.onnx"), "no ONNX file at gone.onnx"),
    "onnx damaged": (onnx(b"\x08\x07nothing"), "is not an ONNX file that onnxruntime can run"),
    "onnx of one channel": (onnx(shape=("b", 1, 16, 16)), r"expected \(batch, 3, height, width\)"),
    "onnx with channels last": (onnx(shape=("b", 16, 16, 3)), "channels come last there"),
    "onnx of vectors": (onnx(shape=("b", 768)), r"takes \('b', 768\) as 'images'"),
    "onnx of another size": (onnx(said={"image_size": 32}), "takes images of 16 x 16 pixels; got image_size 32"),
    "gradients of onnx": (onnx(said={"attacks": ["pgd"]}), "PGD needs gradients"),
    "configuration damaged": (transformers_folder("{"), "config.json is damaged"),
    "configuration of something else": (transformers_folder("{}"), "names no model_type"),
    "transformers as pickle": (
        transformers_folder('{"model_type": "vit"}', "pytorch_model.bin"),
        "no model.safetensors",
    ),
    "unknown model type": (transformers_folder('{"model_type": "vitt"}', "model.safetensors"), "no image classifier"),
    "adapter of an unknown backbone": (bare_adapter, "does not say which network it belongs to"),
}


def test_there_are_at_least_forty_kinds():
    assert len(BAD) >= 40


@pytest.mark.filterwarnings("ignore:.*protobuf.*")
@pytest.mark.parametrize("kind", BAD)
def test_it_is_refused_with_a_sentence_before_anything_is_written(shop: Any, kind: str) -> None:
    make, said = BAD[kind]
    words, given = make(shop)
    facts = {name: given.pop(name) for name in list(given) if name in Facts.__dataclass_fields__}
    data = given.pop("data", "photos")
    undefended = given.pop("undefended", False)

    def ask() -> None:
        request = AuditRequest(data=data, changes=given, facts=Facts(**facts), undefended=undefended, device="cpu")
        audit_runs([words], shop.path / "out", request)

    with pytest.raises(UserError, match=said):
        ask()
    assert not (shop.path / "out").exists()
