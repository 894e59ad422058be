"""How does a tuned model leave for programs that do not know this library? As merged weights, or as an ONNX file."""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.pet import AdapterHandle
from robustpeft.pet.merge import merged_state

__all__ = ["Exported", "export"]

_SUFFIXES = (".safetensors", ".onnx")
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Args:
        path: Where it is.
        difference: Largest difference of its logits from the model's, for ONNX; None if onnxruntime is not there.
    """

    path: Path
    difference: float | None


def export(model: ImageClassifier, path: str | Path, *, overwrite: bool = False) -> Exported:
    """Write a model as one file; the model is not changed.

    ``.safetensors``: the weights of the network with the adapter in them, under the network's own names; image size,
    normalisation and classes stand in the file's metadata. ``.onnx``: all of it, from images (batch, 3, h, w) in [0, 1]
    to logits, normalisation inside.

    Args:
        model: As from `load`.
        path: Ends in ``.safetensors`` or ``.onnx``.
        overwrite: Replace the file that is there.

    Raises:
        UserError: If the adapter cannot be merged (``.onnx`` takes any), the file is there, a package is missing, or
            what was written does not answer as the model does.

    Cost:
        ``.onnx``: 2 forwards of the model on 3 images, and its tracing, some ten seconds.
    """
    path = Path(path)
    if path.suffix not in _SUFFIXES:
        raise UserError(f"{path} ends neither in .safetensors (merged weights) nor in .onnx (the whole model)")
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists; give another file, or overwrite it")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        difference = None
        if path.suffix == ".onnx":
            difference = _write_onnx(model, temporary)
        else:
            _write_weights(model, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return Exported(path, difference)


def _write_weights(model: ImageClassifier, path: Path) -> None:
    handle = next((a for a in model.attachments if isinstance(a, AdapterHandle)), None)
    own = model.frozen_state()
    state = own if handle is None else merged_state(handle)
    if new := sorted(state.keys() - own.keys()):
        raise UserError(f"the merged network would have {new[0]}, which {model.name} does not; export to ONNX instead")
    facts: dict[str, Any] = {
        "backbone": model.name,
        "num_classes": model.num_classes,
        "image_size": model.image_size,
        "mean": model.normalize.mean.flatten().tolist(),
        "std": model.normalize.std.flatten().tolist(),
        "classes": list(model.classes),
    }
    metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()}
    save_file({name: t.contiguous().cpu() for name, t in state.items()}, path, metadata={"format": "pt"} | metadata)


def _write_onnx(model: ImageClassifier, path: Path) -> float | None:
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"an ONNX file needs {' and '.join(missing)}: pip install 'robustpeft[export]'")
    if model.image_size is None:
        raise UserError("the model does not say which image size it takes; set model.image_size")
    view = model.attack_view()
    assert isinstance(view, nn.Module)
    view.cpu()
    images = torch.rand(3, 3, *model.image_size, generator=torch.Generator().manual_seed(0))
    _trace(view, images[:2], path)
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    difference = _difference(view, images, path)
    if not difference <= _TOLERANCE:
        raise UserError(f"onnxruntime's logits differ from the model's by {difference:.2g}; the file was not kept")
    return difference


def _trace(model: nn.Module, images: Tensor, path: Path) -> None:
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    batch = ({0: torch.export.Dim("batch")},)
    for logger in loggers:
        logger.setLevel(logging.ERROR)  # they tell of their own steps
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of the exporter, about itself
            # Given the module itself, the exporter would fall back to a fixed batch size without a word.
            program = torch.export.export(model, (images,), dynamic_shapes=batch)
            torch.onnx.export(
                program,
                (),
                path,
                input_names=["images"],
                output_names=["logits"],
                dynamo=True,
                dynamic_shapes=batch,  # for its name
                external_data=False,
                verbose=False,
            )
    except (RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"torch cannot express this model in ONNX ({str(error).splitlines()[0]})") from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@torch.no_grad()
def _difference(model: nn.Module, images: Tensor, path: Path) -> float:
    """Return the largest difference of logits on a batch of another size than the one it was traced with."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"images": images.numpy()})
    return float((torch.from_numpy(logits) - model(images)).abs().max())
