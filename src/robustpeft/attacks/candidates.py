"""What is tried on an image before any search begins? Adversarial images that were found against another model.

Each costs one forward. The judge decides, as it does about what a search found; what it confirms is broken, and no
attack of the plan is begun on it within this radius or a larger one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robustpeft.attacks.containment import check_within
from robustpeft.attacks.findings import Findings, candidate_stage
from robustpeft.attacks.judge import Judge
from robustpeft.attacks.plan import AttackPlan
from robustpeft.records import LedgerRow
from robustpeft.types import Batch, Split, Threat

__all__ = ["Candidates", "Trying", "try_candidates"]


@dataclass(frozen=True)
class Candidates:
    """Images that broke another model.

    Args:
        source: Which model, in words; every row of the ledger that comes of them says so.
        threat: Within which all of them lie.
        images: Called for pairs of an image's id and its adversarial image, float32 (3, h, w); the same every time.
    """

    source: str
    threat: Threat
    images: Callable[[], Iterable[tuple[int, Tensor]]]


@dataclass(frozen=True)
class Trying:
    """What candidates are tried on.

    Args:
        plan: Its threats say at which radius a candidate counts.
        split: The images.
        places: Which of them, by place in the split.
        judge: Who decides.
        findings: What is known already; what comes is for `keep` to add.
        width: Images in every pass.
        device: Where the model lies.
        keep: Called, once some are judged, with the number of the threat, rows, and by id what broke the model.
    """

    plan: AttackPlan
    split: Split
    places: Sequence[int]
    judge: Judge
    findings: Findings
    width: int
    device: torch.device
    keep: Callable[[int, Sequence[LedgerRow], Mapping[int, Tensor]], None]


def try_candidates(trying: Trying, candidates: Sequence[Candidates]) -> None:
    """Judge all candidates, source by source within each threat; those that the ledger holds are not judged again.

    A candidate counts within the smallest threat of the plan that holds all of its source's; one of another norm, or
    of a larger radius than all of them, is left out.

    Cost:
        At most 1 forward an image and source.

    Raises:
        RuntimeError: If a candidate lies outside the threat that its source names.
    """
    places = {int(trying.split.ids[place]): place for place in trying.places}
    for number, threat in enumerate(trying.plan.threats):
        for run, source in enumerate(candidates):
            if _smallest(trying.plan.threats, source.threat) == number:
                for part in _parts(_open(trying, source, places, number, run), trying.width):
                    ids = [image for image, _ in part]
                    batch = _clean(trying, [places[image] for image in ids])
                    points = torch.stack([point for _, point in part]).to(trying.device)
                    check_within(points, batch.images, source.threat, source.source)
                    _judge(trying, source, number, run, batch, points, threat)


def _smallest(threats: Sequence[Threat], inner: Threat) -> int | None:
    """Return the number of the smallest threat that contains this one; None if none does."""
    for number, threat in enumerate(threats):
        if inner.epsilon <= threat.epsilon and inner.with_epsilon(threat.epsilon) == threat:
            return number
    return None


def _open(
    trying: Trying, source: Candidates, places: dict[int, int], threat: int, run: int
) -> Iterator[tuple[int, Tensor]]:
    """Yield what has still to be judged: images that are right as they are, and that no candidate broke yet."""
    key = candidate_stage(trying.plan.threats[threat])
    for image, point in source.images():
        clean = trying.findings.clean(image) if image in places else None
        if clean is None or clean.broken or (key, image, run) in trying.findings.rows:
            continue
        if trying.findings.candidate(image, threat) is None:
            yield image, point


def _parts(items: Iterable[tuple[int, Tensor]], width: int) -> Iterator[list[tuple[int, Tensor]]]:
    part: list[tuple[int, Tensor]] = []
    for item in items:
        part.append(item)
        if len(part) == width:
            yield part
            part = []
    if part:
        yield part


def _clean(trying: Trying, places: Sequence[int]) -> Batch:
    return next(iter(trying.split.subset(torch.tensor(places)).batches(len(places), device=trying.device)))


def _judge(
    trying: Trying, source: Candidates, number: int, run: int, batch: Batch, points: Tensor, threat: Threat
) -> None:
    start = time.perf_counter()
    verdict = trying.judge(points, batch.labels)
    sizes = threat.size(points.double() - batch.images.double()).tolist()
    seconds = round((time.perf_counter() - start) / len(points), 6)
    rows: list[LedgerRow] = []
    found: dict[int, Tensor] = {}
    for row, (image, label) in enumerate(zip(batch.ids.tolist(), batch.labels.tolist(), strict=True)):
        prediction = int(verdict.predictions[row])
        broken = prediction != label
        rows.append(
            LedgerRow(
                image=image,
                stage=candidate_stage(threat),
                run=run,
                broken=broken,
                step=0,
                prediction=prediction,
                margin=float(verdict.margins[row]),
                norm=sizes[row] if broken else 0.0,
                forwards=1,
                seconds=seconds,
                extra=source.source,
            )
        )
        if broken:
            found[image] = points[row]
    trying.keep(number, rows, found)
