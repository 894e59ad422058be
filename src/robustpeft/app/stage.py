"""What does the page need to know, and what does it do when somebody moves a control? Everything but widgets."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import final

from robustpeft.app.comparison import compare_records
from robustpeft.app.demonstration import Shown, demonstrate, expected_passes
from robustpeft.app.examples import examples
from robustpeft.app.lineup import Lineup
from robustpeft.app.lookup import find_runs
from robustpeft.app.markup import (
    answer_html,
    comparison_html,
    examples_html,
    notice_html,
    progress_html,
    records_html,
)
from robustpeft.app.pictures import Pictures
from robustpeft.app.records_table import Shelf, filter_rows, sort_rows
from robustpeft.app.records_view import RecordsView
from robustpeft.app.routes import MOST_TOGETHER
from robustpeft.app.settings import Settings
from robustpeft.app.wish import Picked, Wish
from robustpeft.errors import UserError

__all__ = ["LIVE_PASSES", "Stage"]

LIVE_PASSES = 150
"""Passes through a model up to which an attack runs as a slider moves; a longer one waits for the button."""

_ANSWERS_KEPT = 32
_EVERY = 0.25  # seconds between two looks at how far an attack has come


class StoppedError(Exception):
    """Somebody wants something else by now."""


@final
class Stage:
    """Models, pictures and records of one page.

    Args:
        settings: What was asked for.

    Raises:
        UserError: If a run that was given is none, or there is nothing to show at all.
    """

    def __init__(self, settings: Settings) -> None:
        found = find_runs(settings.runs, settings.places)
        self.problems = found.problems
        self.lineups = {title: Lineup(runs, settings) for title, runs in found.families.items()}
        self.pictures = Pictures()
        self._answers: OrderedDict[Wish, str] = OrderedDict()
        self.shelf = Shelf((*settings.runs, *settings.places))
        if not self.lineups and not self.shelf.rows():
            where = ", ".join(map(str, settings.places)) or "runs"
            raise UserError(
                f"there is neither a run nor a record in {where}; name one (robustpeft app RUN), say where they are "
                "(--runs DIR), or make some in three minutes (robustpeft demo)"
            )

    def lineup(self, family: str) -> Lineup:
        """Return the models of a family.

        Raises:
            UserError: If there is none of this name.
        """
        if family not in self.lineups:
            raise UserError("there is no such backbone here")
        return self.lineups[family]

    def usual_labels(self, family: str) -> tuple[str, ...]:
        """Return the models that are shown first: the undefended one and at most two runs."""
        return self.lineup(family).labels[:3]

    def examples(self, family: str, page: int, picked: Picked) -> str:
        """Return the buttons with example images; a notice where the runs' data are not to be had."""
        lineup = self.lineup(family)
        try:
            return examples_html(examples(lineup.images, page), lineup.classes, page, picked.name)
        except UserError as error:
            return notice_html(f"No example images: {error}. A picture of your own can be shown.", "note")

    def shown(self, family: str, picked: Picked) -> Shown:
        """Return an image.

        Raises:
            UserError: If it is not there.
        """
        lineup = self.lineup(family)
        if picked.token:
            return Shown(self.pictures.fitted(picked.token, lineup.image_size))
        found = examples(lineup.images, picked.page)
        if not 0 <= picked.place < len(found):
            raise UserError("choose an image first")
        example = found[picked.place]
        return Shown(example.image, example.label, example.id)

    def is_live(self, wish: Wish) -> bool:
        """Return whether it is quick enough to be done while a slider moves."""
        return expected_passes(wish.question, len(self.lineup(wish.family).classes)) <= LIVE_PASSES

    def perform(self, wish: Wish, still_wanted: Callable[[], bool]) -> Iterator[tuple[str, str | None]]:
        """Yield how far it has come with None, and at the end the answer; both as HTML, a mistake told in words.

        Args:
            wish: What is to be shown.
            still_wanted: Asked before every pass; once it says no, the search ends without an answer.
        """
        try:
            lineup = self.lineup(wish.family)
            if wish in self._answers:
                yield "", self._answers[wish]
                return
            if not wish.labels:
                raise UserError("choose at least one model")
            shown = self.shown(wish.family, wish.picked)
            models = {}
            for label in wish.labels:
                yield notice_html(f"Loading {label} ...", "note"), None
                models[label] = lineup.model(label)
            expected = expected_passes(wish.question, len(lineup.classes))
            course = _Course(still_wanted)
            with ThreadPoolExecutor(1) as pool:
                job = pool.submit(demonstrate, models, shown, wish.question, lineup.patch_size, course)
                try:
                    while wait([job], _EVERY).not_done:
                        yield progress_html(course.model, course.passes, expected), None
                finally:
                    course.end()  # the page was closed: nobody waits for the rest
            answer = answer_html(job.result(), lineup.classes)
            self._keep(wish, answer)
            yield "", answer
        except StoppedError:
            yield notice_html("Stopped.", "note"), None
        except UserError as error:
            yield notice_html(str(error)), None

    def _keep(self, wish: Wish, answer: str) -> None:
        self._answers[wish] = answer
        while len(self._answers) > _ANSWERS_KEPT:
            self._answers.popitem(last=False)

    def records(self, view: RecordsView) -> str:
        """Return the table of records as somebody looks at it."""
        rows = self.shelf.rows()
        shown = sort_rows(filter_rows(rows, view.text), view.column, descending=view.descending)
        table = records_html(shown, len(rows), view.chosen, view.column, descending=view.descending)
        notes = [notice_html(f"Left out: {problem}", "note") for problem in self.shelf.problems[:5]]
        return table + "".join(notes)

    def comparison(self, chosen: Sequence[str]) -> str:
        """Return the comparison of the chosen records, or why there is none."""
        try:
            if len(chosen) > MOST_TOGETHER:
                raise UserError(f"at most {MOST_TOGETHER} records can be compared at once; {len(chosen)} are chosen")
            return comparison_html(compare_records([self.shelf.record(key) for key in chosen]), chosen)
        except UserError as error:
            return notice_html(str(error))


@final
class _Course:
    """How far a search has come; asks before every pass whether it is to go on."""

    def __init__(self, still_wanted: Callable[[], bool]) -> None:
        self.model, self.passes = "", 0
        self._still_wanted = still_wanted
        self._ended = threading.Event()

    def __call__(self, model: str, passes: int) -> None:
        self.model, self.passes = model, passes
        if self._ended.is_set() or not self._still_wanted():
            raise StoppedError

    def end(self) -> None:
        """Let the next pass be the last."""
        self._ended.set()
