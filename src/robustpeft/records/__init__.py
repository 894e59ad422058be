"""What is a result? Versioned, torch-free, counts and units."""

from robustpeft.records.audit_record import (
    SCHEMA_VERSION,
    AuditRecord,
    DataInfo,
    GalleryItem,
    ImageRow,
    Measurement,
    Subject,
)
from robustpeft.records.ledger import (
    LedgerRow,
    LedgerSegment,
    compact_ledger,
    read_ledger,
    read_parquet,
    write_parquet,
)
from robustpeft.records.rate import Rate
from robustpeft.records.store import read_record, write_json, write_record, write_text

__all__ = [
    "SCHEMA_VERSION",
    "AuditRecord",
    "DataInfo",
    "GalleryItem",
    "ImageRow",
    "LedgerRow",
    "LedgerSegment",
    "Measurement",
    "Rate",
    "Subject",
    "compact_ledger",
    "read_ledger",
    "read_parquet",
    "read_record",
    "write_json",
    "write_parquet",
    "write_record",
    "write_text",
]
