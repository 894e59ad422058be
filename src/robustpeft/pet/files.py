"""How does an adapter lie on disk? As ``adapter_config.json``, ``adapter_model.safetensors`` and ``robustpeft.json``.

A plain LoRA is written as PEFT writes its own, so that both read it. Any other technique has a type of ours
(``ROBUSTPEFT_FULLLORA``), so that a loader that does not know it refuses the file loudly instead of leaving a part of
it out. The third file says which backbone the adapter belongs to; one of PEFT's comes without it.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.pet.base import PETMethod
from robustpeft.pet.handle import AdapterHandle
from robustpeft.pet.peft_format import is_blockwise, peft_files, peft_method, peft_state
from robustpeft.pet.sidecar import SIDECAR_FILE, check_backbone, describe_backbone, read_sidecar, refuse_foreign
from robustpeft.records import contained, write_json
from robustpeft.types import Axis, from_plain, imports_allowed, to_plain

__all__ = ["CONFIG_FILE", "WEIGHTS_FILE", "load_adapter", "save_adapter", "saved_classes"]

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
_PREFIX = "ROBUSTPEFT_"
_DAMAGE = (
    json.JSONDecodeError,
    UnicodeDecodeError,
    AttributeError,
    KeyError,
    TypeError,
    RecursionError,
    SafetensorError,
)

_log = logging.getLogger(__name__)


def save_adapter(handle: AdapterHandle, directory: Path, axis: Axis) -> None:
    """Write the technique, all trained tensors and what they belong to into `directory`, each file atomically.

    Args:
        handle: The attached adapter.
        directory: Made if need be; older adapter files in it are replaced.
        axis: The table in which the technique's name is found.
    """
    state = handle.state()
    directory.mkdir(parents=True, exist_ok=True)
    method = to_plain(handle.method, (axis,))
    said = describe_backbone(handle.model) | {"method": method}
    found = peft_files(handle)
    if found is None:
        config, tensors = {"peft_type": _PREFIX + str(method["name"]).upper(), "method": method}, state
    else:
        config, tensors = found
        if is_blockwise(handle):
            said["peft_form"] = "branches of q, k and v are joined: ranks summed, B zero outside the rows of each"
            _log.info("for PEFT, the %s", said["peft_form"])
    write_json(directory / CONFIG_FILE, config)
    temporary = directory / f".{WEIGHTS_FILE}.tmp"
    save_file({k: t.contiguous().cpu() for k, t in tensors.items()}, temporary, metadata={"format": "pt"})
    temporary.replace(directory / WEIGHTS_FILE)
    write_json(directory / SIDECAR_FILE, said)


def load_adapter(
    model: ImageClassifier, directory: str | Path, axis: Axis | None = None, *, trust: bool = False
) -> AdapterHandle:
    """Attach the adapter in `directory` to `model` and return its handle.

    A LoRA that was trained with PEFT becomes a `PeftLoRA`; whether the backbone is the right one, its files do not say.

    Args:
        model: The frozen classifier; nothing may be attached to it yet.
        directory: Where `AdapterHandle.save`, or PEFT's ``save_pretrained``, put it.
        axis: The table in which the technique's name is found; that of the package by default.
        trust: Import the module of a technique that is not robustpeft's own.

    Raises:
        UserError: If files are missing or damaged, hold pickles or another tool's adapter, or do not fit the model: its
            frozen weights, its depth, its widths, its number of classes.
    """
    directory = Path(directory)
    config_file, sidecar = directory / CONFIG_FILE, directory / SIDECAR_FILE
    _require_files(directory)
    if not trust:
        refuse_foreign((config_file, sidecar))
    said = read_sidecar(sidecar) if sidecar.is_file() else None
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
        kind = str(config["peft_type"])
        with imports_allowed(trust):
            method = _method(model, config, said, axis or _own_axis(), directory)
        tensors = load_file(directory / WEIGHTS_FILE)
    except _DAMAGE as error:
        raise UserError(f"the adapter in {directory} is damaged ({type(error).__name__}: {error})") from error
    handle = method.attach(model)
    origin = str(directory / WEIGHTS_FILE)
    try:
        handle.load_state(peft_state(handle, config, tensors, origin) if kind == "LORA" else tensors, origin=origin)
        if said is not None:
            check_backbone(model, said, directory)
    except UserError:
        handle.detach()
        raise
    return handle


def saved_classes(model: ImageClassifier, directory: str | Path) -> tuple[int | None, tuple[str, ...]]:
    """Return how many classes a saved adapter's head has, None if it holds no head, and their names where it says them.

    Raises:
        UserError: If the files are missing or damaged.
    """
    directory = Path(directory)
    _require_files(directory)
    sidecar = directory / SIDECAR_FILE
    said = read_sidecar(sidecar) if sidecar.is_file() else {}
    heads = model.seams.heads if model.seams else ()
    try:
        with safe_open(directory / WEIGHTS_FILE, framework="pt") as file:
            widths = {file.get_slice(name).get_shape()[0] for name in file.keys() if _is_head(name, heads)}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"the adapter in {directory} is damaged ({type(error).__name__}: {error})") from error
    return min(widths, default=None), tuple(said.get("classes", ()))


def _is_head(name: str, heads: tuple[str, ...]) -> bool:
    return any(name.removeprefix("base_model.model.") in (f"{h}.weight", f"{h}.bias") for h in heads)


def _require_files(directory: Path) -> None:
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not contained(directory, name).is_file():
            others = sorted(p.name for p in directory.glob("*") if p.suffix in (".bin", ".pt", ".pth"))
            hint = f"; {others[0]} is a pickle, which is never loaded as an adapter" if others else ""
            raise UserError(f"no adapter in {directory}: {name} is missing{hint}")


def _method(
    model: ImageClassifier, config: dict[str, Any], said: dict[str, Any] | None, axis: Axis, directory: Path
) -> PETMethod:
    kind = str(config["peft_type"])
    if kind.startswith(_PREFIX):
        if said is None:
            raise UserError(f"no adapter in {directory}: {SIDECAR_FILE} is missing, which says what it belongs to")
        return from_plain(PETMethod, config["method"], (axis,), "method")  # type: ignore[type-abstract]
    if kind != "LORA":
        raise UserError(f"{directory / CONFIG_FILE} is a {kind} adapter; of PEFT's own techniques, LORA is read here")
    if said is None or "method" not in said:
        return peft_method(model, config)
    return from_plain(PETMethod, said["method"], (axis,), "method")  # type: ignore[type-abstract]


def _own_axis() -> Axis:
    from robustpeft.pet import METHOD_AXIS

    return METHOD_AXIS
