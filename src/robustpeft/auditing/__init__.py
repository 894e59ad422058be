"""How robust is it, and may we believe the number?"""

from robustpeft.auditing.audited_data import AuditedData
from robustpeft.auditing.commons import Commons, Place
from robustpeft.auditing.grid import default_perturbations
from robustpeft.auditing.plan import AuditPlan
from robustpeft.auditing.progress import Observer, Progress
from robustpeft.auditing.run import expected_seal, run_audit

__all__ = [
    "AuditPlan",
    "AuditedData",
    "Commons",
    "Observer",
    "Place",
    "Progress",
    "default_perturbations",
    "expected_seal",
    "run_audit",
]
