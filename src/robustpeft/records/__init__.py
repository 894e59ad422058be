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
from robustpeft.records.check import Check
from robustpeft.records.corruption_error import CorruptionErrors, corruption_errors, corruption_measurements
from robustpeft.records.folder_record import FolderRecord, FolderRow, read_manifest, write_folder_record
from robustpeft.records.ladder import Rung, attacker_ladder
from robustpeft.records.ledger import (
    LedgerRow,
    LedgerSegment,
    compact_ledger,
    read_ledger,
    read_parquet,
    write_parquet,
)
from robustpeft.records.long_table import read_records
from robustpeft.records.minimal_search import MinimalSearch
from robustpeft.records.norm_distribution import NormDistribution, norm_distribution
from robustpeft.records.paired import holm, mcnemar
from robustpeft.records.paired_rates import Paired
from robustpeft.records.query_curve import QueryCurve, query_curves
from robustpeft.records.rate import Rate
from robustpeft.records.robust_curve import RobustCurve, robust_curves
from robustpeft.records.store import read_record, write_json, write_record, write_text
from robustpeft.records.study_record import (
    ArmRecord,
    ContrastRecord,
    RunRecord,
    StudyRecord,
    TrialRecord,
    read_study_record,
    write_study_record,
)
from robustpeft.records.transfer_record import TransferRecord, TransferRow, read_transfer, write_transfer

__all__ = [
    "ArmRecord",
    "ContrastRecord",
    "SCHEMA_VERSION",
    "AuditRecord",
    "Check",
    "CorruptionErrors",
    "DataInfo",
    "FolderRecord",
    "FolderRow",
    "GalleryItem",
    "ImageRow",
    "LedgerRow",
    "LedgerSegment",
    "Measurement",
    "MinimalSearch",
    "NormDistribution",
    "Paired",
    "QueryCurve",
    "Rate",
    "RobustCurve",
    "RunRecord",
    "Rung",
    "StudyRecord",
    "Subject",
    "TransferRecord",
    "TransferRow",
    "TrialRecord",
    "attacker_ladder",
    "compact_ledger",
    "corruption_errors",
    "corruption_measurements",
    "holm",
    "mcnemar",
    "norm_distribution",
    "query_curves",
    "read_ledger",
    "read_manifest",
    "read_parquet",
    "read_record",
    "read_records",
    "read_study_record",
    "read_transfer",
    "robust_curves",
    "write_folder_record",
    "write_json",
    "write_parquet",
    "write_record",
    "write_study_record",
    "write_text",
    "write_transfer",
]
