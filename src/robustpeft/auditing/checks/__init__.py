"""May the number be believed? Questions about images, model and attacks, each with an answer, evidence and remedy."""

from robustpeft.auditing.checks.case import Case, Keepsake
from robustpeft.auditing.checks.inspection import CHECKS, Inspection
from robustpeft.auditing.checks.question import Question

__all__ = ["CHECKS", "Case", "Inspection", "Keepsake", "Question"]
