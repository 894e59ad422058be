"""How does the audit of a folder read? In a few lines: eight bits beside float32, the worst class, how it was made."""

from __future__ import annotations

from robustpeft.errors import one_line
from robustpeft.records import FolderRecord
from robustpeft.report.wording import rate_text, technique_name, threat_text

__all__ = ["folder_lines"]


def folder_lines(record: FolderRecord) -> tuple[str, ...]:
    """Return what a person wants to know first, one sentence a line."""
    lines = [f"{record.subject.label} on {record.folder}: {rate_text(record.stored)} right, judged as eight-bit files"]
    exact, rounding = record.exact, record.rounding
    if exact is not None and rounding is not None:
        lines.append(f"  as float32: {rate_text(exact)} right")
        lines.append(
            f"  rounding to eight bits makes {rounding.only_one:,} right that were wrong and "
            f"{rounding.only_other:,} wrong that were right"
        )
    present = [(rate, label) for label, rate in enumerate(record.per_class) if rate.n]
    if len(present) > 1:
        rate, label = min(present, key=lambda pair: (pair[0].fraction, pair[1]))
        lines.append(f"  worst class: {record.classes[label]}, {rate_text(rate)}")
    made = record.manifest
    if made is not None:
        where = threat_text(str(made["threat"]["norm"]), float(made["threat"]["epsilon"]))
        lines.append(
            f"  made against {made['source']['label']} by {technique_name(made['attack'])} within {where}, "
            f"seed {made['seed']}, from {made['data']['name']}"
        )
    if record.note:
        lines.append(f"  note: {record.note}")
    return tuple(one_line(line, 1000) for line in lines)
