"""Do the rows of a record follow from its ledger, and were the images tried that were sealed?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from robustpeft.attacks import ATTACK_AXIS, ATTACKS, Findings
from robustpeft.auditing.attacked import attack_places, attack_plan
from robustpeft.auditing.conditions import conditions_of
from robustpeft.auditing.plan import AuditPlan
from robustpeft.auditing.siblings import sibling_conditions
from robustpeft.records import AuditRecord, LedgerRow, Seal, read_ledger, read_parquet
from robustpeft.records.ledger import PARQUET_FILE
from robustpeft.records.verification import Finding, Outcome
from robustpeft.types import to_plain

__all__ = ["check_rows_against", "images_tried", "other_work", "read_whole_ledger"]


def images_tried(record: AuditRecord, plan: AuditPlan) -> dict[str, frozenset[int]]:
    """Return the ids of the rows that each attack was to be tried on, by key.

    Raises:
        ValueError: If a row has the label of no class.
    """
    if strange := [row.id for row in record.rows if not 0 <= row.label < len(record.data.classes)]:
        raise ValueError(f"image {strange[0]} has the label of no class")
    ids, labels = (torch.tensor([getattr(row, field) for row in record.rows]) for field in ("id", "label"))
    attacks = attack_plan(plan, record.seed)
    return {key: attacks.images_of(attack, labels, ids) for key, (attack, _) in _places(record, plan).items()}


def _places(record: AuditRecord, plan: AuditPlan) -> dict[str, tuple[int, int]]:
    conditions = [c for c in conditions_of(plan, record.data.image_size) if c.kind == "attack"]
    return {condition.key: place for place, condition in attack_places(plan, conditions).items()}


def read_whole_ledger(ledger: Path) -> tuple[dict[str, Any], list[LedgerRow]]:
    """Return the header and the rows, from segments or packed.

    Raises:
        FileNotFoundError: If there is neither.
        UserError: If they are damaged.
    """
    if any(ledger.glob("segment-*.jsonl")):
        return read_ledger(ledger)
    if not (ledger / PARQUET_FILE).is_file():
        raise FileNotFoundError
    return read_parquet(ledger / PARQUET_FILE)


def other_work(header: dict[str, Any], seal: Seal, plan: AuditPlan) -> list[str]:
    """Return in what the work that a ledger says it is of differs from what was sealed."""
    said = header.get("plan", {})
    pairs = {
        "seal": (header.get("seal"), seal.digest),
        "model": (header.get("model"), seal.model),
        "data": (header.get("data"), seal.data),
        "seed": (said.get("seed"), seal.seed),
        "list of attacks": (
            [said.get("attacks"), said.get("widest", []), said.get("narrow", [])],
            [
                json.loads(json.dumps(to_plain(attacks, (ATTACK_AXIS,))))
                for attacks in (plan.attacks, plan.widest, plan.black_box)
            ],
        ),
        "part of the images": (said.get("narrow_images"), plan.black_box_images),
        "list of radii": ([t.get("epsilon") for t in said.get("threats", ())], list(plan.epsilons)),
    }
    return [name for name, (found, sealed) in pairs.items() if found != sealed]


def check_rows_against(record: AuditRecord, plan: AuditPlan, rows: Sequence[LedgerRow]) -> Finding:
    """Return whether every prediction under attack in the record follows from the ledger."""
    attacks = attack_plan(plan, record.seed)
    stages = attacks.stages(len(record.data.classes), dict(ATTACKS))
    findings = Findings(attacks, stages, {row.key: row for row in rows})
    places = _places(record, plan)
    try:
        tried = images_tried(record, plan)
    except ValueError as error:
        return Finding("ledger", "refuted", str(error))
    if record.rows and (spared := _spared(findings, tried, places)):
        says = f"it has entries about {len(spared)} images that were to be spared"
        return Finding("ledger", "refuted", says, tuple(sorted(spared)))
    wrong: dict[int, str] = {}
    for row in record.rows:
        clean = findings.clean(row.id)
        expected: dict[str, int | None] = {"clean": None if clean is None else clean.prediction}
        for key, (attack, threat) in places.items():
            broken = findings.broke(row.id, attack, threat)
            fell = broken is not None and clean is not None and clean.prediction == row.label
            expected[key] = broken.prediction if fell and broken is not None else expected["clean"]
            if row.id not in tried[key]:
                expected[key] = None
        for threat, condition in enumerate(sibling_conditions(plan)):
            met = findings.candidate(row.id, threat)
            fell = met is not None and clean is not None and clean.prediction == row.label
            expected[condition.key] = met.prediction if fell and met is not None else expected["clean"]
        other = [key for key, prediction in expected.items() if row.predictions.get(key) != prediction]
        if other:
            wrong[row.id] = other[0]
    if wrong:
        image, key = next(iter(wrong.items()))
        return Finding(
            "ledger",
            "refuted",
            f"{len(wrong)} of {len(record.rows)} rows do not follow from it; the first is image {image} under {key}",
            tuple(wrong),
        )
    strangers = {row.image for row in rows} - {row.id for row in record.rows}
    if strangers and record.rows:
        return Finding("ledger", "refuted", "it holds images that are not in the record", tuple(sorted(strangers)))
    outcome: Outcome = "confirmed" if record.rows else "unchecked"
    besides = [m.key for m in record.of("attack") if m.key not in places and m.name != "sibling"]
    what = "all predictions under attack" + (f" but {', '.join(besides)}" if besides else "")
    return Finding("ledger", outcome, f"{len(rows)} entries under this seal; {what} follow")


def _spared(findings: Findings, tried: Mapping[str, frozenset[int]], places: Mapping[str, tuple[int, int]]) -> set[int]:
    """Return the images that the ledger has entries of although the attack was not to be tried on them."""
    meant = {
        stage.key(findings.plan): tried[key]
        for key, place in places.items()
        for stage in findings.stages
        if (stage.attack, stage.threat) == place
    }
    return {row.image for row in findings.rows.values() if row.image not in meant.get(row.stage, {row.image})}
