"""How does an ONNX file answer? Through onnxruntime on the CPU, without gradients: it cannot be seen through."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from robustpeft.errors import UserError

__all__ = ["OnnxNetwork"]

_KINDS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


@final
class OnnxNetwork(nn.Module):
    """A file with one input (b, 3, h, w) and one output (b, k), as a module.

    Args:
        path: The file. Its graph is run by onnxruntime; custom operators, which would be code, are not loaded.

    Attributes:
        image_size: Height and width that it takes; None if it takes any.
        num_classes: Width of its output; None if it does not say.
        num_weights: Numbers stored in it, 0 if the package onnx is not there to count them.

    Raises:
        UserError: If the file is missing or damaged, onnxruntime is not installed, or its inputs and outputs are
            others.
    """

    black_box = True
    file_digest: Tensor

    def __init__(self, path: Path) -> None:
        super().__init__()
        if importlib.util.find_spec("onnxruntime") is None:
            raise UserError("an ONNX file needs onnxruntime: pip install 'robustpeft[export]'")
        self._session = _session(path)
        self.name = path.name
        source, *more = self._session.get_inputs()
        outputs = self._session.get_outputs()
        if more or len(outputs) != 1:
            raise UserError(
                f"{path} has inputs {_listed([source, *more])} and outputs {_listed(outputs)}; expected one of each: "
                "images (batch, 3, height, width), logits (batch, classes)"
            )
        _check_input(path, source)
        self._input, self._kind = source.name, _KINDS[source.type]
        self._batch, _, *sides = (each if isinstance(each, int) else None for each in source.shape)
        self.image_size = (sides[0], sides[1]) if sides[0] and sides[1] else None
        shape = outputs[0].shape
        self.num_classes = shape[1] if len(shape) == 2 and isinstance(shape[1], int) else None
        self.num_weights = _num_weights(path)
        digest = hashlib.sha256(path.read_bytes()).digest()
        self.register_buffer("file_digest", torch.tensor(list(digest), dtype=torch.uint8))  # tells models apart

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (b, k) of normalised images (b, 3, h, w), without a graph.

        Raises:
            UserError: If the file does not take images of this size.
        """
        given = images.detach().cpu().numpy().astype(self._kind)
        width = self._batch or len(given)
        parts = [self._run(given[start : start + width], width) for start in range(0, len(given), width)]
        return torch.from_numpy(np.concatenate(parts)).float().to(images.device)

    def _run(self, images: Any, width: int) -> Any:
        missing = width - len(images)
        padded = np.concatenate([images, np.repeat(images[:1], missing, axis=0)]) if missing else images
        try:
            (logits,) = self._session.run(None, {self._input: padded})
        except Exception as error:  # onnxruntime's own classes have no common base but this
            said = str(error).strip().splitlines()[0]
            raise UserError(
                f"{self.name} cannot answer images of {images.shape[2]} x {images.shape[3]} pixels ({said})"
            ) from error
        return logits[: len(images)]


def _session(path: Path) -> Any:
    import onnxruntime

    if not path.is_file():
        raise UserError(f"no ONNX file at {path}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{path} is not an ONNX file that onnxruntime can run ({said})") from error


def _check_input(path: Path, source: Any) -> None:
    shape = list(source.shape)
    if source.type not in _KINDS:
        raise UserError(f"{path} takes {source.type} as {source.name!r}; expected float images")
    if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
        hint = " (channels come last there; export it with channels first)" if shape[-1:] == [3] else ""
        raise UserError(f"{path} takes {tuple(shape)} as {source.name!r}; expected (batch, 3, height, width){hint}")


def _listed(values: list[Any]) -> str:
    return ", ".join(f"{value.name} {tuple(value.shape)}" for value in values)


def _num_weights(path: Path) -> int:
    if importlib.util.find_spec("onnx") is None:
        return 0
    import onnx

    stored = onnx.load(str(path), load_external_data=False).graph.initializer
    return sum(int(np.prod(tensor.dims)) for tensor in stored)
