"""What did a third party find when it asked again? One finding for every claim of a record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Outcome", "Verification"]

Outcome = Literal["confirmed", "refuted", "unchecked"]


@dataclass(frozen=True)
class Finding:
    """One claim, and what came of it.

    Args:
        claim: What was asked about: ``files``, ``seal``, ``ledger``, ``model``, ``data``, a measurement's key, ...
        outcome: ``confirmed``, ``refuted``, or ``unchecked`` where it could not be checked.
        says: What was found, with its numbers; where it could not be checked, why.
        images: Ids of the images that speak against it, or that could not be asked about.
    """

    claim: str
    outcome: Outcome
    says: str
    images: tuple[int, ...] = ()


@dataclass(frozen=True)
class Verification:
    """All that was found about one record.

    Args:
        label: The model's name in the record.
        findings: In the order in which they were made.
    """

    label: str
    findings: tuple[Finding, ...]

    @property
    def outcome(self) -> Outcome:
        """``refuted`` if anything was; else ``unchecked`` if anything could not be checked; else ``confirmed``."""
        found = {finding.outcome for finding in self.findings}
        if "refuted" in found:
            return "refuted"
        return "unchecked" if "unchecked" in found or not found else "confirmed"
