"""How does somebody look at the records? Filtered, sorted, some chosen; every click gives another such view."""

from __future__ import annotations

from dataclasses import dataclass, replace

from robustpeft.app.records_table import COLUMNS

__all__ = ["RecordsView"]

_NUMBERS = ("clean", "robust", "n", "created")


@dataclass(frozen=True)
class RecordsView:
    """A way of looking at the records.

    Args:
        text: Words that a row must hold.
        column: By which rows are sorted.
        descending: Largest first.
        chosen: Keys of the rows that are to be compared, in the order in which they were chosen.
    """

    text: str = ""
    column: str = "robust"
    descending: bool = True
    chosen: tuple[str, ...] = ()

    def filtered(self, text: object) -> RecordsView:
        """Return the view with another filter."""
        return replace(self, text=text[:200] if isinstance(text, str) else "")

    def after(self, sort: object = None, choose: object = None) -> RecordsView:
        """Return the view after a click.

        Args:
            sort: Column whose head was clicked: numbers then begin with the largest; a second click turns it round.
            choose: Key of the row whose box was clicked: chosen if it was not, and the other way round.
        """
        if isinstance(sort, str) and sort in COLUMNS:
            again = sort == self.column
            return replace(self, column=sort, descending=not self.descending if again else sort in _NUMBERS)
        if isinstance(choose, str) and choose:
            kept = tuple(key for key in self.chosen if key != choose)
            return replace(self, chosen=kept if choose in self.chosen else (*self.chosen, choose))
        return self
