"""Whose model is it? A run, an adapter, or a stranger's checkpoint: one file for each kind of words that name one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from robustpeft.errors import UserError, nearest_hint
from robustpeft.study.run_directory import SIDECAR_FILE
from robustpeft.study.targets.adapter import AdapterTarget
from robustpeft.study.targets.base import Loaded, Target
from robustpeft.study.targets.factory import FactoryTarget
from robustpeft.study.targets.facts import ORDERS, Facts, option_of
from robustpeft.study.targets.normalizations import NORMALIZATIONS
from robustpeft.study.targets.onnx_file import OnnxTarget
from robustpeft.study.targets.run import RunTarget
from robustpeft.study.targets.timm_name import TimmTarget
from robustpeft.study.targets.transformers_folder import TransformersTarget

__all__ = [
    "NORMALIZATIONS",
    "ORDERS",
    "TARGETS",
    "Facts",
    "Loaded",
    "Target",
    "check_used",
    "default_place",
    "find_target",
    "kind_of",
    "load_target",
    "placed",
]

TARGETS: Mapping[str, type[Target]] = {
    "run": RunTarget,
    "adapter": AdapterTarget,
    "transformers": TransformersTarget,
    "onnx": OnnxTarget,
    "timm": TimmTarget,
    "factory": FactoryTarget,
}
"""Every kind of words that name a model, in the order in which they are asked whether it is theirs."""


def find_target(words: str, facts: Facts | None = None) -> Target:
    """Return what these words name.

    Raises:
        UserError: If they name nothing; lists what can be named.
    """
    for kind in TARGETS.values():
        if kind.claims(words, facts or Facts()):
            return kind(words)
    path = Path(words)
    what = (
        ", but a folder without any of their files" if path.is_dir() else ", but another file" if path.exists() else ""
    )
    listed = "; ".join(f"{name}: {kind.looks_like}" for name, kind in TARGETS.items())
    raise UserError(
        f"{words} is not a finished run ({SIDECAR_FILE} is missing) nor any other model{what}"
        f"{_nearest(words)}. A model is named as one of: {listed}"
    )


def load_target(words: str, facts: Facts | None = None, device: str = "cpu") -> Loaded:
    """Return the model that these words name, not yet introduced to images.

    Args:
        words: As for `find_target`.
        facts: What is known of it; fields that its kind does not read are left alone, see `check_used`.
        device: Where to put it; what gives no gradients stays on the CPU.

    Raises:
        UserError: If there is no such model, or it cannot be read.
    """
    facts = facts or Facts()
    return placed(find_target(words, facts).load(facts), words, facts, device)


def placed(loaded: Loaded, words: str, facts: Facts, device: str) -> Loaded:
    """Return the same with its model on the device, having seen that it takes images of the size that was given.

    Raises:
        UserError: If it takes others.
    """
    model = loaded.model
    if model.image_size is None and facts.image_size is not None:
        model.image_size = (facts.image_size, facts.image_size)
    elif facts.image_size is not None and model.image_size != (facts.image_size, facts.image_size):
        raise UserError(f"{words} takes images of {model.image_size} pixels; got image_size {facts.image_size}")
    if next(model.parameters(), None) is not None:
        model.to(device)
    model.claimed_clean = facts.claimed_clean
    return loaded


def check_used(targets: Sequence[Target], facts: Facts) -> None:
    """Raise if something was said that none of the targets reads: nothing is ignored in silence.

    Raises:
        UserError: Naming the first such option.
    """
    used = frozenset[str]().union(*(target.takes for target in targets))
    if unused := sorted(facts.given() - used):
        kinds = ", ".join(dict.fromkeys(kind_of(target) for target in targets))
        raise UserError(f"{option_of(unused[0])} says nothing of a target of this kind ({kinds}); leave it out")


def default_place(words: str) -> Path:
    """Return where its audit goes if nothing was said: into a run, beside everything else."""
    if Path(words).is_dir() and RunTarget.claims(words, Facts()):
        return Path(words) / "audit"
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(words).name.removesuffix(".onnx")).strip("-.")
    return Path("audits") / (name or "model")


def kind_of(target: Target) -> str:
    """Return the name of its kind in `TARGETS`."""
    return next(name for name, kind in TARGETS.items() if isinstance(target, kind))


def _nearest(words: str) -> str:
    if "/" in words or "\\" in words:
        return ""
    import timm

    hint = nearest_hint(words, timm.list_models()).partition("? Valid")
    return f"; {hint[0]}?" if hint[1] else ""
