"""How does an adapter lie on disk? As ``adapter_config.json`` and ``adapter_model.safetensors``.

The type written is our own (``ROBUSTPEFT_FULLLORA``), so that a loader that does not know the technique refuses the
file loudly instead of leaving a part of it out.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.pet.base import PETMethod
from robustpeft.pet.handle import AdapterHandle
from robustpeft.records import write_json
from robustpeft.types import Axis, from_plain, to_plain

__all__ = ["CONFIG_FILE", "WEIGHTS_FILE", "load_adapter", "save_adapter"]

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
_PREFIX = "ROBUSTPEFT_"


def save_adapter(handle: AdapterHandle, directory: Path, axis: Axis) -> None:
    """Write the technique and all trained tensors into `directory`, atomically.

    Args:
        handle: The attached adapter.
        directory: Made if need be; older adapter files in it are replaced.
        axis: The table in which the technique's name is found.
    """
    directory.mkdir(parents=True, exist_ok=True)
    method = to_plain(handle.method, (axis,))
    write_json(directory / CONFIG_FILE, {"peft_type": _PREFIX + str(method["name"]).upper(), "method": method})
    temporary = directory / f".{WEIGHTS_FILE}.tmp"
    tensors = {name: tensor.contiguous().cpu() for name, tensor in handle.state().items()}
    save_file(tensors, temporary, metadata={"format": "pt"})
    temporary.replace(directory / WEIGHTS_FILE)


def load_adapter(model: ImageClassifier, directory: Path, axis: Axis) -> AdapterHandle:
    """Attach the adapter in `directory` to `model` and return its handle.

    Raises:
        UserError: If files are missing or damaged, hold pickles or another tool's adapter, or do not fit the model.
    """
    config_file, weights_file = directory / CONFIG_FILE, directory / WEIGHTS_FILE
    for file in (config_file, weights_file):
        if not file.is_file():
            others = sorted(p.name for p in directory.glob("*") if p.suffix in (".bin", ".pt", ".pth"))
            hint = f"; {others[0]} is a pickle, which is never loaded as an adapter" if others else ""
            raise UserError(f"no adapter in {directory}: {file.name} is missing{hint}")
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
        kind = str(config["peft_type"])
        if not kind.startswith(_PREFIX):
            raise UserError(f"{config_file} is a {kind} adapter, which was not written by robustpeft")
        method = from_plain(PETMethod, config["method"], (axis,), "method")  # type: ignore[type-abstract]
        tensors = load_file(weights_file)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(f"the adapter in {directory} is damaged ({type(error).__name__}: {error})") from error
    handle = method.attach(model)
    try:
        handle.load_state(tensors, origin=str(weights_file))
    except UserError:
        handle.detach()
        raise
    return handle
