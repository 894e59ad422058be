"""Did no attack of a record look at gradients? Then what withstood was asked, and never seen through."""

from __future__ import annotations

from robustpeft.records.audit_record import AuditRecord

__all__ = ["attacked_by_queries_alone"]


def attacked_by_queries_alone(record: AuditRecord) -> bool:
    """Return whether every attack on the model itself was a search by queries, as it must be for an ONNX file."""
    own = [m for m in record.of("attack") if m.name not in ("transfer", "sibling")]
    return bool(own) and all("queries" in m.settings and not m.backwards for m in own)
