"""What came of holding a record against a policy? One line for every demand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Demand", "GateResult", "Judgement"]

Judgement = Literal["pass", "fail", "unknown", "waived"]


@dataclass(frozen=True)
class Demand:
    """One demand, and whether it is met.

    Args:
        what: For example ``robust accuracy, linf 8/255``.
        asked: For example ``at least 40.0 %``.
        found: What the record shows, the end of the interval that was judged included.
        judgement: ``pass``; ``fail``; ``unknown`` where it was not measured; ``waived`` of a check that failed.
    """

    what: str
    asked: str
    found: str
    judgement: Judgement


@dataclass(frozen=True)
class GateResult:
    """All demands of a policy on one record.

    Args:
        label: The model's name in the record.
        demands: In the order of the policy.
    """

    label: str
    demands: tuple[Demand, ...]

    @property
    def judgement(self) -> Literal["pass", "fail", "unknown"]:
        """``fail`` if any demand fails; else ``unknown`` if any cannot be judged; else ``pass``."""
        found = {demand.judgement for demand in self.demands}
        return "fail" if "fail" in found else "unknown" if "unknown" in found or not found else "pass"
