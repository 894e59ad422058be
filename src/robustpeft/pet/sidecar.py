"""What does an adapter belong to? ``robustpeft.json`` beside it says so, and what it says is checked."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import robustpeft
from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.types import THREATS

__all__ = ["SIDECAR_FILE", "SIDECAR_VERSION", "check_backbone", "describe_backbone", "read_sidecar", "refuse_foreign"]

SIDECAR_FILE = "robustpeft.json"
SIDECAR_VERSION = 1
_FOREIGN = re.compile(r"""(name|norm|source)"?\s*:\s*["']?([A-Za-z_][\w.]*):([A-Za-z_][\w.]*)""")


def describe_backbone(model: ImageClassifier) -> dict[str, Any]:
    """Return the facts that tell a model from others.

    Cost:
        One read of the frozen weights, about 1 s per GB.
    """
    return {
        "version": SIDECAR_VERSION,
        "robustpeft": robustpeft.__version__,
        "backbone_name": model.name,
        "backbone_digest": model.digest(),
        "image_size": model.image_size,
        "mean": model.normalize.mean.flatten().tolist(),
        "std": model.normalize.std.flatten().tolist(),
        "classes": list(model.classes),
    }


def read_sidecar(file: Path) -> dict[str, Any]:
    """Return the content of a sidecar.

    Raises:
        UserError: If it is damaged or of another version.
    """
    try:
        plain: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        version = plain["version"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{file} is damaged ({type(error).__name__}: {error})") from error
    if version != SIDECAR_VERSION:
        raise UserError(f"{file} has version {version}; this robustpeft reads version {SIDECAR_VERSION}")
    return plain


def check_backbone(model: ImageClassifier, said: dict[str, Any], directory: Path) -> None:
    """Raise unless the frozen weights are those that the adapter in `directory` was tuned on.

    Raises:
        UserError: Naming both digests.
    """
    found = model.digest()
    if found != said.get("backbone_digest"):
        raise UserError(
            f"the adapter in {directory} belongs to other weights of {said.get('backbone_name')}: its digest is "
            f"{str(said.get('backbone_digest'))[:12]}..., these have {found[:12]}...; give the right file as weights="
        )


def refuse_foreign(files: Iterable[Path]) -> None:
    """Raise if a file names a class whose module would have to be imported from somewhere.

    Raises:
        UserError: Naming the class; one whose module was imported already is welcome.
    """
    for path in files:
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        for key, module, name in _FOREIGN.findall(text):
            if module not in sys.modules and not (key == "norm" and module in THREATS):  # patch:share=0.02 is ours
                raise UserError(
                    f"{path} names {module}:{name}, which is not part of robustpeft; nothing was imported. If you "
                    f"trust it, import {module} before, or say so: rp.load(path, trust=True), or --trust"
                )
