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
        *_met(record),
    ]
    return Provenance(subject.label, record.command, tuple((name, value) for name, value in facts if value.strip("-")))


def _met(record: AuditRecord) -> Facts:
    """Return what was found out about a model that does not say everything itself."""
    met = record.introduction
    if met is None or not met.findings:
        return ()
    found = [
        (f"Its {f.key.replace('_', ' ')}, {f.source}", f"{f.value}: {f.evidence}" if f.value else f.evidence)
        for f in met.findings
    ]
    return (("Named as", f"{met.target} ({met.kind})"), *found, ("Without trying", met.command))


def data_facts(record: AuditRecord) -> Facts:
    """Return what identifies the images, which all records of a report share."""
    data = record.data
    height, width = data.image_size
    return (
        ("Data", f"{data.name}, {data.split} split"),
        ("Images", f"{data.n:,} of {height} x {width} pixels"),
        ("Classes", ", ".join(data.classes[:20]) + (", ..." if len(data.classes) > 20 else "")),
        ("Data digest", data.digest),
        ("Epsilon is imposed", f"on {height} x {width} pixels with values in [0, 1]"),
        *((("Out of the adversary's reach", "; ".join(data.outside)),) if data.outside else ()),
    )
