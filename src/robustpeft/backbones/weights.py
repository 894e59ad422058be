"""How do weights come out of a file without running anything in it, and how are they fitted to a network?"""

from __future__ import annotations

import argparse
import logging
import pickle
import re
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from robustpeft.errors import UserError

__all__ = ["WeightsFile", "fit_weights", "read_weights"]

_log = logging.getLogger(__name__)

# Where training scripts put the state dict, best first: averaged weights are what they evaluate.
_STATE_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict")
_PICKLE_SUFFIXES = (".pth", ".pt", ".bin", ".tar", ".ckpt")


@dataclass(frozen=True)
class WeightsFile:
    """What a weights file holds.

    Args:
        path: The file.
        tensors: Its state dict.
        image_size: Height and width that the checkpoint says it was trained at; None if it does not say.
        mean: Normalisation mean that it says; None if it does not.
        std: Normalisation deviation that it says; None if it does not.
    """

    path: Path
    tensors: dict[str, Tensor]
    image_size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def read_weights(path: Path) -> WeightsFile:
    """Return what a ``.safetensors`` file or a pickled checkpoint (``.pth``, ``.pth.tar``, ``.pt``, ``.bin``) holds.

    Pickles go through torch's restricted unpickler, which knows tensors, containers and `argparse.Namespace` (timm's
    checkpoints hold one) and executes nothing else.

    Raises:
        UserError: If the file is missing, damaged, of another format, or needs more than tensors.
    """
    if not path.is_file():
        raise UserError(f"no weights file at {path}")
    _refuse_what_is_no_file_of_weights(path)
    if path.suffix == ".safetensors":
        try:
            return WeightsFile(path, load_file(path))
        except SafetensorError as error:
            raise UserError(f"{path} is not a readable safetensors file ({error})") from error
    if path.suffix not in _PICKLE_SUFFIXES:
        raise UserError(
            f"cannot read weights from {path.name}: expected .safetensors, .npz or {', '.join(_PICKLE_SUFFIXES)}"
        )
    content = _unpickle(path)
    said = _arguments(content)
    size = said.get("img_size")
    return WeightsFile(
        path,
        _state_dict(content, path),
        image_size=(size, size) if isinstance(size, int) else None,
        mean=_triple(said.get("mean")),
        std=_triple(said.get("std")),
    )


def _refuse_what_is_no_file_of_weights(path: Path) -> None:
    """Say plainly what a download that went wrong leaves behind."""
    with path.open("rb") as stream:
        start = stream.read(256).lstrip().lower()
    if not start:
        raise UserError(f"{path} is empty; the download may have failed")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise UserError(f"{path} is a web page, not weights; the download may have asked for a login")
    if start.startswith(b"version https://git-lfs"):
        raise UserError(f"{path} is a pointer of Git LFS, not the weights themselves; fetch them with git lfs pull")


def fit_weights(network: nn.Module, tensors: Mapping[str, Tensor], heads: tuple[str, ...], origin: str) -> list[str]:
    """Load a state dict into `network`, resampled to its image and patch size by timm's own function for the family.

    Args:
        network: Changed in place.
        tensors: The state dict.
        heads: Dotted paths of the classification heads: kept at their initial values if the file's do not fit.
        origin: Name of the file, for messages.

    Returns:
        Sentences that a person should read, for example that the head was replaced.

    Raises:
        UserError: If anything but the head does not fit; names the first missing and unexpected keys.
    """
    adapt = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    try:
        given = dict(adapt(dict(tensors), network) if adapt else tensors)
    except (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, ValueError) as error:
        raise UserError(
            f"{origin} does not fit {type(network).__name__}: resampling it failed ({type(error).__name__}: {error})"
        ) from error
    wanted = network.state_dict()
    notes = _settle_heads(given, wanted, heads, origin)
    missing = sorted(wanted.keys() - given.keys())
    unexpected = sorted(given.keys() - wanted.keys())
    shapes = [
        f"{name} is {tuple(given[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in sorted(given.keys() & wanted.keys())
        if given[name].shape != wanted[name].shape
    ]
    if missing or unexpected or shapes:
        raise UserError(
            f"{origin} does not fit {type(network).__name__}: {_some(missing, 'missing')}; "
            f"{_some(unexpected, 'unexpected')}; {_some(shapes, 'of another shape')}"
        )
    network.load_state_dict(given, strict=True)
    return notes


def _settle_heads(
    given: dict[str, Tensor], wanted: Mapping[str, Tensor], heads: tuple[str, ...], origin: str
) -> list[str]:
    notes = []
    for head in heads:
        names = [name for name in wanted if name.startswith(f"{head}.")]
        if all(name in given and given[name].shape == wanted[name].shape for name in names):
            continue
        found = given.get(f"{head}.weight")
        was = "no head" if found is None or found.ndim != 2 else f"a head of {found.shape[0]} classes"
        notes.append(f"{origin} has {was}; {head} starts anew with {wanted[f'{head}.weight'].shape[0]} classes")
        given.update({name: wanted[name] for name in names})
    for name in [n for n in given if n not in wanted and n.startswith(("head.", "head_dist.", "fc."))]:
        given.pop(name)
        notes.append(f"{origin}: {name} is not used, this network has no such head")
    for note in notes:
        _log.info(note)
    return notes


def _unpickle(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # the refusal that follows says enough
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(_refusal(path, str(error))) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is not a readable checkpoint ({type(error).__name__}: {error})") from error


def _refusal(path: Path, said: str) -> str:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except (RuntimeError, ValueError, pickle.UnpicklingError):  # no zip archive: the unpickler named the first one
        names = re.findall(r"GLOBAL ([\w.]+)", said)
    what = f"it needs {', '.join(sorted(names))}" if names else "it is no checkpoint of tensors"
    return (
        f"{path} was refused and nothing in it was executed: {what}. "
        "Ask its author for a safetensors file or a state dict of tensors only"
    )


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        for key in _STATE_KEYS:
            if isinstance(content.get(key), Mapping):
                content = content[key]
                break
        tensors = {str(k).removeprefix("module."): v for k, v in content.items() if isinstance(v, Tensor)}
        if tensors:
            return tensors
    raise UserError(f"{path} holds no state dict (looked for tensors and for {', '.join(_STATE_KEYS)})")


def _arguments(content: Any) -> dict[str, Any]:
    said = content.get("args", content.get("args_dict")) if isinstance(content, Mapping) else None
    if isinstance(said, argparse.Namespace):
        return vars(said)
    return dict(said) if isinstance(said, Mapping) else {}


def _triple(value: Any) -> tuple[float, ...] | None:
    if not (isinstance(value, list | tuple) and len(value) == 3 and all(isinstance(v, int | float) for v in value)):
        return None
    return tuple(map(float, value))


def _some(names: list[str], what: str) -> str:
    if not names:
        return f"none {what}"
    return f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
