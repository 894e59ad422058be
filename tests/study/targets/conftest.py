"""A network that tells images apart by how bright they are, so that any wrong normalisation or order is seen."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from robustpeft.data import Folder, ImageData

CLASSES = ("class1", "class2", "class10")  # as text class10 comes before class2
LEVELS = (40, 128, 215)


class Bright(nn.Module):
    """Logits 2 c m - c^2 of the mean m of the normalised image: the nearest centre c wins."""

    def __init__(self, mean: float = 0.5, std: float = 0.5, levels: tuple[int, ...] = LEVELS) -> None:
        super().__init__()
        centres = (torch.tensor(levels) / 255 - mean) / std
        self.head = nn.Linear(1, len(levels))
        self.head.weight.data = 2 * centres[:, None]
        self.head.bias.data = -(centres**2)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(images.mean(dim=(1, 2, 3))[:, None])
        return logits


FACTORIES = """
import torch
from torch import nn


class Bright(nn.Module):
    def __init__(self, mean=0.5, std=0.5, levels=(40, 128, 215)):
        super().__init__()
        centres = (torch.tensor(levels) / 255 - mean) / std
        self.head = nn.Linear(1, len(levels))
        self.head.weight.data = 2 * centres[:, None]
        self.head.bias.data = -(centres**2)

    def forward(self, images):
        return self.head(images.mean(dim=(1, 2, 3))[:, None])


class Around(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.inner, self.change = Bright(), change

    def forward(self, images):
        return self.change(self.inner(images))


def bright(**options):
    return Bright(**options)


def as_tuple():
    return Around(lambda logits: (logits, logits))


def as_dict():
    return Around(lambda logits: {"logit": logits})


def flat():
    return Around(lambda logits: logits[:, 0])


def maps():
    return Around(lambda logits: logits[:, :, None, None])


def undefined():
    return Around(lambda logits: logits * float("nan"))


def probabilities():
    return Around(lambda logits: logits.softmax(dim=1))


def no_model():
    return 7


def raises():
    raise RuntimeError("no disk")


def picky():
    return Around(lambda logits: logits.view(-1, 7))


def nan_inside():
    model = Bright()
    model.head.weight.data[:] = float("nan")
    return model


not_callable = 3
"""


def write_folder(path: Path, classes: tuple[str, ...] = CLASSES, count: int = 12, side: int = 16) -> Path:
    """Write ``path/{train,val,test}/CLASS/IMAGE``, each class of its own brightness, lossless and no two alike."""
    generator = np.random.default_rng(0)
    for split, images in (("train", 1), ("val", count), ("test", count)):
        for number, name in enumerate(classes):
            (path / split / name).mkdir(parents=True)
            for i in range(images):
                noise = generator.integers(-15, 16, (side, side, 3))
                pixels = (LEVELS[number % 3] + noise).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(path / split / name / f"{i}.png")
    return path


def write_onnx(path: Path, levels: tuple[int, ...] = LEVELS, shape: tuple[Any, ...] = ("b", 3, 16, 16)) -> Path:
    """Write the network as an ONNX graph by hand: mean over channels and pixels, then a matrix."""
    onnx = pytest.importorskip("onnx")
    bright = Bright(0.0, 1.0, levels)
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    constants = {"w": bright.head.weight.detach().numpy(), "c": bright.head.bias.detach().numpy()}
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=list(range(1, len(shape))), keepdims=0),
        helper.make_node("Unsqueeze", ["mean"], ["column"], axes=[1]),
        helper.make_node("Gemm", ["column", "w", "c"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("images", floats, shape)],
        [helper.make_tensor_value_info("logits", floats, (shape[0], len(constants["c"])))],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path


@dataclasses.dataclass(frozen=True)
class Shop:
    """A directory to work in, with images in ``photos`` and factories in a module of its own name."""

    path: Path
    module: str

    def factory(self, name: str = "bright") -> str:
        return f"{self.module}:{name}"

    def write_onnx(self, path: Path, **options: Any) -> Path:
        return write_onnx(path, **options)

    @property
    def photos(self) -> Path:
        return self.path / "photos"

    def data(self) -> ImageData:
        return Folder(str(self.photos)).load(16)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    module = "strange_" + "".join(sign if sign.isalnum() else "_" for sign in tmp_path.name)
    (tmp_path / f"{module}.py").write_text(FACTORIES)
    write_folder(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    return Shop(tmp_path, module)


@pytest.fixture
def onnx_file(shop: Shop) -> Callable[..., Path]:
    return lambda **options: write_onnx(shop.path / "model.onnx", **options)
