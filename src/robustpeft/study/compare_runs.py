"""How do models fare under each other's adversarial images? The transfer matrix of what was named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robustpeft.attacks import ATTACK_AXIS, Attack
from robustpeft.errors import UserError
from robustpeft.records import TransferRecord
from robustpeft.records.transfer_record import TRANSFER_FILE
from robustpeft.study.audit_runs import meet
from robustpeft.study.axes import AXES
from robustpeft.study.device import find_device
from robustpeft.study.save_attack import save_attack
from robustpeft.study.targets import Facts, find_target
from robustpeft.study.targets.run import RunTarget
from robustpeft.study.transfer import transfer
from robustpeft.study.undefended import load_undefended
from robustpeft.types import Threat, from_plain, parse_norm, to_plain

__all__ = ["CompareRequest", "compare_runs", "save_run_attack"]


@dataclass(frozen=True)
class CompareRequest:
    """What is asked of a comparison.

    Args:
        data: The images, as for `tune`; None for those that the first run was tuned on.
        attack: The attack as plain data; None for the default of `transfer`.
        threat: Fields to set, ``norm`` and ``epsilon``; the rest is what the first run was tuned for.
        images: At most this many; None for all.
        undefended: Compare the first run's frozen backbone too, which the public has.
        seed: Of the subset of images and the attack.
        device: As for `find_device`.
        overwrite: Replace the record that is there.
        weights: As for `load`.
        trust: As for `load`.
    """

    data: Any = None
    attack: Any = None
    threat: dict[str, Any] = field(default_factory=dict)
    images: int | None = 1000
    undefended: bool = False
    seed: int = 0
    device: str = "auto"
    overwrite: bool = False
    weights: str | None = None
    trust: bool = False


def compare_runs(
    runs: Sequence[str | Path],
    output: str | Path,
    request: CompareRequest | None = None,
    observer: Callable[[int, int], None] | None = None,
) -> TransferRecord:
    """Return the transfer matrix of some runs, written into `output`.

    Raises:
        UserError: As `transfer`; if a run was given twice; if a record is there.
    """
    asked = request or CompareRequest()
    if (Path(output) / TRANSFER_FILE).exists() and not asked.overwrite:
        raise UserError(f"{output} holds a comparison already; overwrite it, or give another output")
    paths = [Path(run) for run in runs]
    if len(paths) + asked.undefended < 2:
        raise UserError("a comparison needs at least two runs, or one and its undefended backbone (--undefended)")
    device = str(find_device(asked.device))
    models, images = meet(runs, asked.data, Facts(weights=asked.weights, trust=asked.trust), device)
    tuned_for = next((model.threat for model in models.values() if model.threat is not None), None)
    if asked.undefended:
        if not isinstance(find_target(str(runs[0])), RunTarget):
            raise UserError(f"{runs[0]} is no run, so there is no undefended model of it to compare")
        label, model = load_undefended(paths[0], images, device, asked.weights, asked.trust)
        models[label] = model
    return transfer(
        models,
        images,
        _threat(tuned_for, asked.threat),
        attack=_attack(asked),
        images=asked.images,
        output=output,
        seed=asked.seed,
        observer=observer,
    )


def save_run_attack(
    run: str | Path,
    directory: str | Path,
    request: CompareRequest | None = None,
    observer: Callable[[int, int], None] | None = None,
) -> Path:
    """Save adversarial images of a model and return the path of their manifest; see `save_attack`."""
    asked = request or CompareRequest()
    known = Facts(weights=asked.weights, trust=asked.trust)
    models, found = meet([run], asked.data, known, str(find_device(asked.device)))
    (model,) = models.values()
    return save_attack(
        model,
        found,
        directory,
        _threat(model.threat, asked.threat),
        attack=_attack(asked),
        images=asked.images,
        seed=asked.seed,
        observer=observer,
    )


def _attack(asked: CompareRequest) -> Attack | None:
    if asked.attack is None:
        return None
    return from_plain(Attack, asked.attack, (ATTACK_AXIS,), "attack")  # type: ignore[type-abstract]


def _threat(tuned_for: Threat | None, changes: dict[str, Any]) -> Threat | None:
    if not changes:
        return tuned_for
    if "norm" in changes:
        norm, fields = parse_norm(str(changes["norm"]))
        changes = changes | fields | {"norm": norm}
    base = to_plain(tuned_for, AXES) if tuned_for is not None else {}
    if changes.get("norm", base.get("norm")) != base.get("norm"):
        if "epsilon" not in changes:
            raise UserError(f"epsilon must be given with norm {changes['norm']!r}: the radius of another is another")
        base = {}
    if "norm" not in base | changes:
        base = {"norm": "linf"}
    return from_plain(Threat, base | changes, AXES, "threat")  # type: ignore[type-abstract]
