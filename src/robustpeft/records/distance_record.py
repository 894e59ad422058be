"""How far do the parameters of tuned networks lie apart, component by component? Relative distances, one per seed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from robustpeft.errors import UserError
from robustpeft.records.store import write_json

__all__ = ["DistanceRecord", "DistanceRow", "read_distance", "write_distance"]

DISTANCE_FILE = "distance.json"
_VERSION = 1


@dataclass(frozen=True)
class DistanceRow:
    """One component; every distance is an L2 norm of a difference, divided by that of the parameters it starts from.

    Args:
        component: ``q``, ``fc1``, ``norm scales``, ...
        parameters: How many it has.
        between: ||adversarial - standard|| / ||standard||, one per seed.
        standard: ||standard - start|| / ||start||, likewise.
        adversarial: ||adversarial - start|| / ||start||, likewise.
        seeds_apart: ||standard of the next seed - standard|| / ||standard||: what chance alone does; empty for one
            seed.
        magnitudes: ||adversarial|| / ||standard||, one per seed.
    """

    component: str
    parameters: int
    between: tuple[float, ...]
    standard: tuple[float, ...]
    adversarial: tuple[float, ...]
    seeds_apart: tuple[float, ...]
    magnitudes: tuple[float, ...]


@dataclass(frozen=True)
class DistanceRecord:
    """Standard and adversarial tuning of one network.

    Args:
        standard: Label of the arm tuned in the ordinary way.
        adversarial: Label of the arm tuned against an adversary.
        seeds: Whose runs were compared, in order.
        rows: One per component, in the order of the forward pass.
    """

    standard: str
    adversarial: str
    seeds: tuple[int, ...]
    rows: tuple[DistanceRow, ...]


def write_distance(record: DistanceRecord, directory: Path) -> Path:
    """Write ``distance.json`` into `directory` and return its path."""
    write_json(directory / DISTANCE_FILE, {"schema_version": _VERSION, **asdict(record)})
    return directory / DISTANCE_FILE


def read_distance(directory: Path) -> DistanceRecord:
    """Return the record in a directory.

    Raises:
        UserError: If there is none, or it is of another version or damaged.
    """
    file = directory / DISTANCE_FILE
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
        if plain["schema_version"] != _VERSION:
            raise UserError(
                f"{file} has version {plain['schema_version']}; this version of robustpeft reads {_VERSION}"
            )
        return DistanceRecord(plain["standard"], plain["adversarial"], tuple(plain["seeds"]), _rows(plain["rows"]))
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({type(error).__name__}: {error})") from error


def _rows(plain: list[dict[str, object]]) -> tuple[DistanceRow, ...]:
    rows = ({key: tuple(v) if isinstance(v, list) else v for key, v in row.items()} for row in plain)
    return tuple(DistanceRow(**row) for row in rows)  # type: ignore[arg-type]
