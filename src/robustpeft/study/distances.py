"""How far do standard and adversarial tuning carry the parameters of a network, and in which of its components?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.records import DistanceRecord, DistanceRow, write_distance
from robustpeft.study.run_directory import load

__all__ = ["component_parameters", "measure_distances"]

_ORDER = ("patch_embed", "embeddings", "q", "k", "v", "proj", "fc1", "fc2", "reduction")
_LAST = ("norm scales", "norm biases", "head", "other")


def measure_distances(
    standard: Sequence[Path], adversarial: Sequence[Path], labels: tuple[str, str], seeds: tuple[int, ...], output: Path
) -> DistanceRecord:
    """Return how far the parameters of two kinds of tuning lie apart, and write the record into `output`.

    All runs start from the same network; they are compared seed by seed, on the CPU in float64.

    Args:
        standard: Runs of full tuning in the ordinary way, one per seed.
        adversarial: Runs of full tuning against an adversary, in the same order of seeds.
        labels: Of the two kinds.
        seeds: Of the runs.
        output: Directory for ``distance.json``.

    Raises:
        UserError: If there are not as many of both, or they are not full tunings of one network.

    Cost:
        Memory for all networks at once; no pass through them.
    """
    if len(standard) != len(adversarial) or not standard:
        raise UserError(
            f"distances need as many runs of {labels[0]} as of {labels[1]}; got {len(standard)} and {len(adversarial)}"
        )
    kinds = [[_tuned(run) for run in runs] for runs in (standard, adversarial)]
    start = _start(standard[0])
    for parts in (part for kind in kinds for part in kind):
        if {name: part.shape for name, part in parts.items()} != {name: part.shape for name, part in start.items()}:
            raise UserError("the runs whose parameters are to be compared do not have the same network")
    rows = tuple(_row(name, start[name], *([parts[name] for parts in kind] for kind in kinds)) for name in start)
    record = DistanceRecord(*labels, seeds, rows)
    write_distance(record, output)
    return record


def component_parameters(model: ImageClassifier) -> dict[str, Tensor]:
    """Return all parameters of a network by component, each as one float64 vector on the CPU.

    Components are the seams' linear maps over all blocks, weight and bias together, and besides them ``embeddings``,
    ``norm scales``, ``norm biases``, ``head`` and ``other``; of a fused layer each part counts for itself.

    Raises:
        UserError: If its seams are not known.
    """
    seams = model.require_seams()
    left = {name: p.detach().double().cpu() for name, p in model.network.named_parameters()}
    parts: dict[str, list[Tensor]] = {}
    of_sites: set[str] = set()
    for site in seams.sites:
        for name in (name for leaf in ("weight", "bias") if (name := f"{site.module}.{leaf}") in left):
            rows, (i, n) = len(left[name]), site.part or (0, 1)
            parts.setdefault(site.component, []).append(left[name][i * rows // n : (i + 1) * rows // n].flatten())
            of_sites.add(name)
    for name, values in left.items():
        if name not in of_sites:
            component = _component(name, seams.norms, seams.heads, seams.embeddings)
            parts.setdefault(component, []).append(values.flatten())
    return {name: torch.cat(parts[name]) for name in (*_ORDER, *_LAST) if name in parts}


def _component(name: str, norms: tuple[str, ...], heads: tuple[str, ...], embeddings: tuple[str, ...]) -> str:
    module, _, leaf = name.rpartition(".")
    if name in embeddings:
        return "embeddings"
    if module in norms:
        return "norm biases" if leaf == "bias" else "norm scales"
    return "head" if module in heads else "other"


def _tuned(run: Path) -> Mapping[str, Tensor]:
    model = load(run, trust=True)
    if any(not p.requires_grad for p in model.network.parameters()):
        raise UserError(f"distances compare runs of full tuning; {run} trained a part of its network")
    return component_parameters(model)


def _start(run: Path) -> Mapping[str, Tensor]:
    model = load(run, trust=True)
    with model.disabled():
        return component_parameters(model)


def _row(name: str, start: Tensor, standard: Sequence[Tensor], adversarial: Sequence[Tensor]) -> DistanceRow:
    others = zip(standard, [*standard[1:], standard[0]], strict=True) if len(standard) > 1 else ()
    return DistanceRow(
        name,
        start.numel(),
        tuple(_relative(a, s) for s, a in zip(standard, adversarial, strict=True)),
        tuple(_relative(s, start) for s in standard),
        tuple(_relative(a, start) for a in adversarial),
        tuple(_relative(t, s) for s, t in others),
        tuple(float(a.norm() / s.norm()) if s.norm() else 1.0 for s, a in zip(standard, adversarial, strict=True)),
    )


def _relative(end: Tensor, origin: Tensor) -> float:
    """Return ||end - origin|| / ||origin||; of parameters that are all 0, the distance alone."""
    return float((end - origin).norm() / (origin.norm() or 1.0))
