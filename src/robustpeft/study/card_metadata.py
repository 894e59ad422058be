"""What does the hub read at the top of a model card? What the adapter belongs to, and what audits counted."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from robustpeft.records import AuditRecord, Rate
from robustpeft.report.headline import headline, publishable
from robustpeft.report.wording import threat_text
from robustpeft.report.worst_case import attack_names, main_threats, worst_case

__all__ = ["base_model", "card_metadata"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_FROM_HUB = re.compile(r"Hugging Face ([\w.-]+/[\w.-]+)", re.ASCII)
_TASK = "image-classification"


def card_metadata(
    said: dict[str, Any], records: Sequence[AuditRecord] = (), *, title: str, license_id: str | None = None
) -> str:
    """Return the YAML block of a model card, without the lines around it.

    Args:
        said: What the adapter says of itself, ``robustpeft.json``.
        records: Its audits. Only they give numbers; those that their checks do not let be published give none.
        title: What the model is called in the results.
        license_id: Of the adapter, in the hub's words, for example ``apache-2.0``; left out if None.
    """
    from huggingface_hub import ModelCardData

    results = [result for record in publishable(records) for result in _results(record)]
    trained_on = _FROM_HUB.match(said["tuning"].get("data_note", ""))
    data = ModelCardData(
        library_name="robustpeft",
        base_model=base_model(said),
        base_model_relation="adapter" if base_model(said) else None,
        pipeline_tag=_TASK,
        tags=_tags(said),
        datasets=[trained_on[1]] if trained_on else None,
        metrics=["accuracy"] if results else None,
        license=license_id,
        model_name=title if results else None,
        eval_results=results or None,
    )
    return str(data.to_yaml())


def base_model(said: dict[str, Any]) -> str | None:
    """Return the frozen network as the hub knows it: timm's weights are there under ``timm/``; None for one's own."""
    name, built = str(said["backbone_name"]), said.get("backbone")
    if isinstance(built, dict) and built.get("weights") is True and name != "digits_vit":
        name = name.removeprefix("hf-hub:") if name.startswith("hf-hub:") else f"timm/{name}"
    return name if _HUB_ID.fullmatch(name) else None


def _tags(said: dict[str, Any]) -> list[str]:
    method, threat = str(said["method"]["name"]), said["threat"]
    tags = ["robustpeft", "parameter-efficient-fine-tuning", method.rpartition(":")[2]]
    return [*tags, "adversarial-robustness", str(threat["norm"])] if threat else tags


def _results(record: AuditRecord) -> list[Any]:
    """Return the results of one record: accuracy on clean images, and the worst case of each norm."""
    kept = " on validation images, too kind" if record.data.split != "test" else ""
    found = [_result(record, f"Clean accuracy{kept}", record["clean"].correct, {})]
    for threat in main_threats([record]):
        case = worst_case(record, threat)
        if case is None:
            continue
        args = {
            "norm": threat.norm,
            "epsilon": threat.epsilon,
            "attacks": list(attack_names(record, case.attacks)),
            "reading": "upper bound" if headline(record).kind == "upper_bound" else headline(record).kind,
        }
        name = f"Robust accuracy at {threat_text(threat.norm, threat.epsilon)}, at most{kept}"
        found.append(_result(record, name, case.correct, args))
    return found


def _result(record: AuditRecord, name: str, rate: Rate, args: dict[str, Any]) -> Any:
    from huggingface_hub import EvalResult

    low, high = rate.interval()
    counts = {"correct": rate.count, "n": rate.n, "interval_95": [round(low, 4), round(high, 4)]}
    from_hub = _FROM_HUB.match(record.data.note)
    return EvalResult(
        task_type=_TASK,
        dataset_type=from_hub[1] if from_hub else re.sub(r"[^\w.-]+", "-", record.data.name),
        dataset_name=record.data.name,
        dataset_split=record.data.split,
        metric_type="accuracy",
        metric_name=name,
        metric_value=None if math.isnan(rate.fraction) else round(rate.fraction, 4),
        metric_args=args | counts,
    )
