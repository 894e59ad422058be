"""What survives an interruption? Everything that the next step depends on, in one file that is whole or not there."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from robustpeft.errors import UserError

__all__ = ["Checkpoint", "Counters", "load_checkpoint", "save_checkpoint"]

_log = logging.getLogger(__name__)
_LAST, _BEFORE = "last.safetensors", "before_last.safetensors"


@dataclass(frozen=True)
class Counters:
    """Where a run stood.

    Args:
        epoch: Epochs finished.
        step: Steps done.
        best_epoch: The epoch whose weights were best on the validation images; 0 if none was looked at.
        best_clean: Images right then.
        best_robust: Images right then under the selection attack; equal to `best_clean` without an adversary.
        best_collapsed: Nearly every image got the same prediction even then.
        seconds: Time spent so far.
        stale: Looks at the validation images since the best one.
        stopped: Tuning ended early.
        at_once: Images at once in the parameter pass, where memory or the plan asks for fewer than all; else 0.
        attack_at_once: Likewise in the attack.
        looks: Epoch, accuracy under the adversary of training and under that of selection, at each look since the main
            phase began.
        plan: Digest of what was to be done; another plan cannot go on from here.
    """

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_clean: int = -1
    best_robust: int = -1
    best_collapsed: bool = False
    seconds: float = 0.0
    stale: int = 0
    stopped: bool = False
    at_once: int = 0
    attack_at_once: int = 0
    looks: tuple[tuple[int, float, float], ...] = ()
    plan: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """Counters and tensors: trained weights, optimiser, average and best weights, by ``<kind>:<name>``."""

    counters: Counters
    tensors: dict[str, Tensor]

    def of(self, kind: str) -> dict[str, Tensor]:
        """Return the tensors of one kind, without their prefix."""
        prefix = f"{kind}:"
        return {name[len(prefix) :]: tensor for name, tensor in self.tensors.items() if name.startswith(prefix)}


def save_checkpoint(checkpoint: Checkpoint, directory: Path) -> None:
    """Write the checkpoint; the one before stays beside it until the next."""
    directory.mkdir(parents=True, exist_ok=True)
    temporary = directory / f".{_LAST}.tmp"
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    save_file(tensors, temporary, metadata={"counters": json.dumps(asdict(checkpoint.counters))})
    if (directory / _LAST).exists():
        (directory / _LAST).replace(directory / _BEFORE)
    temporary.replace(directory / _LAST)


def load_checkpoint(directory: Path) -> Checkpoint | None:
    """Return the newest readable checkpoint, or None if there is none.

    Raises:
        UserError: If there are checkpoints, but none can be read.
    """
    damaged = []
    for file in (directory / _LAST, directory / _BEFORE):
        if not file.is_file():
            continue
        try:
            with safe_open(file, framework="pt") as reader:
                counters = _counters(reader.metadata()["counters"])
                return Checkpoint(counters, {name: reader.get_tensor(name) for name in reader.keys()})  # noqa: SIM118
        except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            damaged.append(f"{file.name} ({type(error).__name__}: {error})")
            _log.warning("checkpoint %s is damaged; trying the one before", file)
    if damaged:
        raise UserError(f"no checkpoint in {directory} can be read: {'; '.join(damaged)}; start again with overwrite")
    return None


def _counters(text: str) -> Counters:
    said = json.loads(text)
    return Counters(**(said | {"looks": tuple((int(e), float(t), float(r)) for e, t, r in said.get("looks", ()))}))
