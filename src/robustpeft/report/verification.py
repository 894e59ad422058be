"""How is a verification shown? A line for every claim, and a sentence on what all of them come to."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from robustpeft.records.verification import Outcome, Verification

__all__ = ["verification_sentence", "verification_table"]

_WORDS: dict[Outcome, tuple[str, str]] = {
    "confirmed": ("confirmed", "green"),
    "refuted": ("refuted", "bold red"),
    "unchecked": ("not checked", "yellow"),
}
_SHOWN = 5


def verification_table(verification: Verification) -> Table:
    """Return one line for every claim, with the first images that speak against it."""
    table = Table(title=Text(verification.label), title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("claim", "outcome", "what was found"):
        table.add_column(heading, overflow="fold")
    for finding in verification.findings:
        shown = ", ".join(map(str, finding.images[:_SHOWN])) + (", ..." if len(finding.images) > _SHOWN else "")
        says = f"{finding.says} (images {shown})" if shown else finding.says
        table.add_row(Text(finding.claim), Text(*_WORDS[finding.outcome]), Text(says))
    return table


def verification_sentence(verification: Verification) -> Text:
    """Return what all findings come to, and what is not shown by it."""
    counts = {word: sum(f.outcome == word for f in verification.findings) for word in _WORDS}
    total, style = len(verification.findings), _WORDS[verification.outcome][1]
    if verification.outcome == "refuted":
        return Text(f"Refuted: {counts['refuted']} of {total} claims do not hold.", style)
    if verification.outcome == "unchecked":
        return Text(
            f"Not checked in full: {counts['confirmed']} of {total} claims are confirmed, none is refuted, "
            f"{counts['unchecked']} could not be checked.",
            style,
        )
    return Text(
        f"Confirmed: all {total} claims hold. The counts under attack are upper bounds: other images may break the "
        "model too.",
        style,
    )
