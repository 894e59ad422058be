"""Which defects must an audit find, and which models must it leave in peace?

The tester is tested: every entry of `SPECIMENS` is an honest classifier broken in one way, written without sight of the
checks; a check that its ``expected`` names must speak up. No check may speak up about an entry of `HONEST`.
"""

from robustpeft.auditing.specimens.base import CHECKS, Honest, Specimen, Spoiled
from robustpeft.auditing.specimens.honest_table import HONEST
from robustpeft.auditing.specimens.table import SPECIMENS, SPOILED

__all__ = ["CHECKS", "HONEST", "SPECIMENS", "SPOILED", "Honest", "Specimen", "Spoiled"]
