"""What is a result? Versioned, torch-free, counts and units."""

from robustpeft.records.audit_record import (
    SCHEMA_VERSION,
    AuditRecord,
    DataInfo,
    GalleryItem,
    ImageRow,
    Measurement,
    Subject,
    least_of,
)
from robustpeft.records.check import Check
from robustpeft.records.contained import contained
from robustpeft.records.corruption_error import CorruptionErrors, corruption_errors, corruption_measurements
from robustpeft.records.distance_record import DistanceRecord, DistanceRow, read_distance, write_distance
from robustpeft.records.folder_record import FolderRecord, FolderRow, read_manifest, write_folder_record
from robustpeft.records.introduction import Finding, Introduction
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
from robustpeft.records.mean_interval import mean_interval
from robustpeft.records.minimal_search import MinimalSearch
from robustpeft.records.norm_distribution import NormDistribution, norm_distribution
from robustpeft.records.paired import holm, mcnemar
from robustpeft.records.paired_rates import Paired
from robustpeft.records.queries_alone import attacked_by_queries_alone
from robustpeft.records.query_curve import QueryCurve, query_curves
from robustpeft.records.rate import Rate
from robustpeft.records.robust_curve import RobustCurve, at_every_radius, robust_curves
from robustpeft.records.seal import KeptFile, Seal, canonical_digest
from robustpeft.records.store import read_doubtful_record, read_record, write_json, write_record, write_text
from robustpeft.records.study_record import (
    ArmRecord,
    ContrastRecord,
    RunRecord,
    StageRecord,
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
    "DistanceRecord",
    "DistanceRow",
    "Finding",
    "FolderRecord",
    "FolderRow",
    "GalleryItem",
    "ImageRow",
    "KeptFile",
    "Introduction",
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
    "Seal",
    "StageRecord",
    "Rung",
    "StudyRecord",
    "Subject",
    "TransferRecord",
    "TransferRow",
    "TrialRecord",
    "canonical_digest",
    "at_every_radius",
    "attacked_by_queries_alone",
    "attacker_ladder",
    "compact_ledger",
    "contained",
    "corruption_errors",
    "corruption_measurements",
    "holm",
    "least_of",
    "mcnemar",
    "read_doubtful_record",
    "mean_interval",
    "read_distance",
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
    "write_distance",
    "write_folder_record",
    "write_json",
    "write_parquet",
    "write_record",
    "write_study_record",
    "write_text",
    "write_transfer",
]
