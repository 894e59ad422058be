"""What is asked, and how does an answer read? A question knows its title, its weight and what to do if it fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from robustpeft.records import Check
from robustpeft.records.check import Group, Verdict

__all__ = ["Question"]


@final
@dataclass(frozen=True)
class Question:
    """One question of the page "Why it may be believed".

    Args:
        key: Unique name.
        title: A statement that should hold.
        group: What a failure means; see `Check`.
        remedy: What to do if it does not hold.
    """

    key: str
    title: str
    group: Group
    remedy: str = ""

    def passes(self, evidence: str) -> Check:
        """Return the answer that it holds."""
        return self._answer("pass", evidence)

    def warns(self, evidence: str) -> Check:
        """Return the answer that it is in doubt."""
        return self._answer("warn", evidence)

    def fails(self, evidence: str) -> Check:
        """Return the answer that it does not hold."""
        return self._answer("fail", evidence)

    def skips(self, evidence: str) -> Check:
        """Return the answer that it cannot be asked here, and why."""
        return self._answer("not_applicable", evidence)

    def _answer(self, verdict: Verdict, evidence: str) -> Check:
        remedy = self.remedy if verdict in ("warn", "fail") else ""
        return Check(self.key, self.title, verdict, evidence, remedy, self.group)
