"""What does it take to break these models? The ladder of attackers, as rows that page, Markdown and terminal draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robustpeft.records import AuditRecord, Rate, Rung, attacker_ladder
from robustpeft.report.tables import Cell, Column, Row, Table, rate_cell
from robustpeft.report.wording import count_text, duration_text, large_number_text, threat_text

__all__ = ["Ladder", "Step", "attacker_ladders"]

_TITLE = "What it takes to break it"
_ANY_ACCIDENT = "I did nothing: of all that happened by chance, the worst counts."


@dataclass(frozen=True)
class Entry:
    """One model on one rung.

    Args:
        label: The model.
        cell: Share of its images still recognised, its interval, and the counts and cost behind it; the cost last.
        correct: The same as a rate; None if it was not measured.
        missing: Why not, and how to measure it; empty where there is a number.
    """

    label: str
    cell: Cell
    correct: Rate | None
    missing: str


@dataclass(frozen=True)
class Step:
    """One attacker against every model.

    Args:
        title: Who it is.
        words: What they would say.
        entries: One per model.
    """

    title: str
    words: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Ladder:
    """The whole ladder.

    Args:
        title: Heading.
        where: Within which radius the attackers work, in words; empty without one.
        labels: The models, with the radius where they differ in it.
        steps: The weakest attacker first.
    """

    title: str
    where: str
    labels: tuple[str, ...]
    steps: tuple[Step, ...]

    def table(self) -> Table:
        """Return it as a table, an attacker a row."""
        rows = (Row(s.title, (Cell(s.words), *(entry.cell for entry in s.entries))) for s in self.steps)
        columns = (Column("In their words"), *(Column(label, "still recognised") for label in self.labels))
        return Table(self.title, columns, tuple(rows), "Attacker")


def attacker_ladders(records: Sequence[AuditRecord]) -> Ladder | None:
    """Return the ladder of these models; None if there are none whose numbers may be shown."""
    if not records:
        return None
    found = [attacker_ladder(record) for record in records]
    threats = [_where(rungs) for rungs in found]
    alike = len(set(threats)) == 1
    labels = [record.subject.label for record in records]
    steps = tuple(
        Step(
            rungs[0].title,
            rungs[0].words if len({rung.words for rung in rungs}) == 1 else _ANY_ACCIDENT,
            tuple(_entry(label, rung) for label, rung in zip(labels, rungs, strict=True)),
        )
        for rungs in zip(*found, strict=True)
    )
    named = labels if alike else [f"{label}, {where}" for label, where in zip(labels, threats, strict=True)]
    return Ladder(_TITLE, threats[0] if alike else "", tuple(named), steps)


def _where(rungs: Sequence[Rung]) -> str:
    threat = next((rung.threat for rung in rungs if rung.threat is not None), None)
    return "" if threat is None else threat_text(str(threat["norm"]), float(threat["epsilon"]))


def _entry(label: str, rung: Rung) -> Entry:
    if rung.correct is None:
        return Entry(label, Cell("not measured", notes=(rung.missing,)), None, rung.missing)
    cell = rate_cell(rung.correct)
    turned = "" if rung.turned is None else f"turned {count_text(rung.turned)}"
    named = rung.what[0].replace("_", " ").replace("@", " ") if rung.key == "accident" else ""
    notes = tuple(note for note in (named, turned, _cost(rung)) if note)
    return Entry(label, Cell(cell.value, cell.interval, (*cell.notes, *notes)), rung.correct, "")


def _cost(rung: Rung) -> str:
    if rung.key == "accident":
        return "no question asked"
    if rung.key == "full_knowledge":
        passes = f"{large_number_text(rung.questions)} forward and {large_number_text(rung.backwards)} backward passes"
        return f"{passes}, {duration_text(rung.seconds)}"
    about = "" if rung.correct is None else f" about {rung.correct.n:,} image{'s' * (rung.correct.n != 1)}"
    return f"{large_number_text(rung.questions)} questions{about}, {duration_text(rung.seconds)}"
