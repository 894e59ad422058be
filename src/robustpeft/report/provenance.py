"""How is the result obtained again? Command, seed, digests, versions and dates, as pairs of name and value."""

from __future__ import annotations

from dataclasses import dataclass

from robustpeft.records import AuditRecord
from robustpeft.report.wording import date_text, technique_name, threat_text

__all__ = ["Provenance", "data_facts", "provenance"]

Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Provenance:
    """Where one subject's numbers come from.

    Args:
        label: The subject.
        command: What to type; may be empty.
        facts: Pairs of name and value.
    """

    label: str
    command: str
    facts: Facts


def provenance(record: AuditRecord) -> Provenance:
    """Return what is needed to repeat the audit of this record."""
    subject = record.subject
    trained = subject.trained_threat
    facts = [
        ("Seed", str(record.seed)),
        ("Date", date_text(record)),
        ("Backbone", subject.backbone),
        ("Backbone digest", subject.backbone_digest),
        ("Seal of the plan", record.seal.digest if record.seal else ""),
        ("Method", technique_name(subject.method)),
        ("Objective", technique_name(subject.objective)),
        ("Tuned for", threat_text(str(trained["norm"]), float(trained["epsilon"])) if trained else "no threat"),
        ("Tuning", ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in subject.tuning.items())),
        ("Environment", ", ".join(f"{name} {value}" for name, value in record.environment.items())),
        ("Time measured", f"{sum(m.seconds for m in record.measurements):,.0f} s"),
    ]
    return Provenance(subject.label, record.command, tuple((name, value) for name, value in facts if value.strip("-")))


def data_facts(record: AuditRecord) -> Facts:
    """Return what identifies the images, which all records of a report share."""
    data = record.data
    height, width = data.image_size
    return (
        ("Data", f"{data.name}, {data.split} split"),
        ("Images", f"{data.n:,} of {height} x {width} pixels"),
        ("Classes", ", ".join(data.classes[:20]) + (", ..." if len(data.classes) > 20 else "")),
        ("Data digest", data.digest),
    )
