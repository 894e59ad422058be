"""Is this machine fit for it, and if not, what is to be done? Every finding in a sentence with its remedy."""

from robustpeft.study.doctor.examine import examine
from robustpeft.study.doctor.finding import Finding

__all__ = ["Finding", "examine"]
