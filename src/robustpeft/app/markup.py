"""How does an answer become a part of the page? Through templates that escape every name and number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment

from robustpeft.app.choices import Question
from robustpeft.app.comparison import Comparison
from robustpeft.app.demonstration import Demonstration, Guess, Outcome, Verdict
from robustpeft.app.examples import Example
from robustpeft.app.pictures import data_uri
from robustpeft.app.records_table import Column, RecordRow
from robustpeft.report.templating import page_templates
from robustpeft.report.wording import condition_name, interval_text, percent_text

__all__ = [
    "answer_html",
    "comparison_html",
    "examples_html",
    "notice_html",
    "progress_html",
    "question_text",
    "records_html",
]

_TINY = 112
_VERDICTS: dict[Verdict, tuple[str, str]] = {
    "holds": ("good", "Holds"),
    "fooled": ("bad", "Fooled"),
    "wrong_before": ("idle", "Wrong before and after"),
    "recovers": ("idle", "Wrong before, right after"),
    "keeps": ("good", "Keeps its answer"),
    "changes": ("bad", "Changes its answer"),
}
_NORM_NAMES = {"linf": "Linf", "l2": "L2", "l1": "L1"}
_HEADS: tuple[tuple[Column, str], ...] = (
    ("model", "Model"),
    ("data", "Data"),
    ("threat", "Threat"),
    ("clean", "Clean"),
    ("robust", "Robust"),
    ("n", "Images"),
    ("created", "Day"),
    ("study", "Study"),
)
_SAID = {
    "measured": "",
    "upper_bound": "at most, and probably lower",
    "refused": "no number is given",
    "unchecked": "not doubted",
    "clean": "not attacked",
}


@dataclass(frozen=True)
class Bar:
    """One line of a top five: its name, width in percent, text, and whether it is the true class."""

    name: str
    width: str
    share: str
    is_true: bool


@dataclass(frozen=True)
class Card:
    """One model's part of an answer, ready to be drawn."""

    model: str
    tone: str
    verdict: str
    original: str
    changed: str
    difference: str
    magnification: str
    before: tuple[Bar, ...]
    after: tuple[Bar, ...]
    fact: str


@cache
def _templates() -> Environment:
    environment = page_templates("robustpeft.app")
    environment.filters["percent"] = percent_text
    environment.filters["interval"] = interval_text
    return environment


def _render(template: str, **values: object) -> str:
    return _templates().get_template(template).render(**values)


def notice_html(text: str, kind: str = "error") -> str:
    """Return a paragraph that says what went wrong (``error``) or what is to be known (``note``)."""
    return _render("notice.html", text=text, kind=kind)


def progress_html(model: str, done: int, expected: int) -> str:
    """Return a bar of how far an attack has come."""
    return _render("progress.html", model=model, done=done, expected=max(done, expected, 1))


def examples_html(examples: Sequence[Example], classes: Sequence[str], page: int, chosen: str) -> str:
    """Return buttons with pictures; the one whose name is `chosen` is pressed."""
    pictures = [
        {
            "name": f"example/{page}/{place}",
            "source": data_uri(example.image),
            "title": classes[example.label],
            "is_tiny": max(example.image.shape[1:]) <= _TINY,
        }
        for place, example in enumerate(examples)
    ]
    return _render("examples.html", pictures=pictures, chosen=chosen)


def answer_html(answer: Demonstration, classes: Sequence[str]) -> str:
    """Return one card per model, and a sentence that says what happened."""
    shown = answer.shown
    original = data_uri(shown.image)
    cards = [_card(outcome, answer, original, classes) for outcome in answer.outcomes]
    return _render(
        "answer.html",
        cards=cards,
        is_tiny=max(shown.image.shape[1:]) <= _TINY,
        question=question_text(answer.question),
        truth=None if shown.label is None else classes[shown.label],
        is_attack=answer.question.kind == "attack",
        seed=answer.question.seed,
    )


def question_text(question: Question) -> str:
    """Return what is done to the image, for example ``PGD, 20 steps, within Linf 8/255 (0.0314)``."""
    name = condition_name(question.name)
    if question.kind == "corruption":
        return f"{name}, severity {question.strength:g}"
    if question.kind == "perturbation":
        return f"{name} {question.strength:.3g}"
    from robustpeft.app.choices import Steps

    steps = Steps.of(question.name)
    effort = f", {question.steps:,} {steps.field}" if steps is not None else ""
    if question.norm == "patch":
        return f"{name}{effort}, within a square of {question.strength:.0%} of the image"
    radius = f"{255 * question.strength:.3g}/255 ({question.strength:.3g})" if question.norm == "linf" else ""
    return (
        f"{name}{effort}, within {_NORM_NAMES.get(question.norm, question.norm)} {radius or f'{question.strength:g}'}"
    )


def records_html(rows: Sequence[RecordRow], total: int, chosen: Sequence[str], column: str, *, descending: bool) -> str:
    """Return the table of records, with a box to choose each and a button to sort by each column."""
    return _render(
        "records.html",
        rows=rows,
        total=total,
        chosen=frozenset(chosen),
        heads=_HEADS,
        column=column,
        direction="descending" if descending else "ascending",
        said=_SAID,
        has_study=any(row.study for row in rows),
    )


def comparison_html(comparison: Comparison, keys: Sequence[str]) -> str:
    """Return the comparison of the records with these keys."""
    return _render("comparison.html", comparison=comparison, keys=".".join(keys))


def _card(outcome: Outcome, answer: Demonstration, original: str, classes: Sequence[str]) -> Card:
    tone, verdict = _VERDICTS[outcome.verdict]
    true = answer.shown.label
    return Card(
        model=outcome.model,
        tone=tone,
        verdict=verdict,
        original=original,
        changed=data_uri(outcome.changed),
        difference=data_uri(outcome.difference),
        magnification=f"{outcome.magnification:.3g}",
        before=_bars(outcome.before, true, classes),
        after=_bars(outcome.after, true, classes),
        fact=_fact(outcome, answer.question),
    )


def _bars(guesses: Sequence[Guess], true: int | None, classes: Sequence[str]) -> tuple[Bar, ...]:
    return tuple(
        Bar(classes[g.label], f"{100 * g.share:.1f}%", f"{percent_text(g.share)} %", g.label == true) for g in guesses
    )


def _fact(outcome: Outcome, question: Question) -> str:
    if question.kind != "attack":
        return f"Largest change of a value: {255 * outcome.size:.3g}/255."
    size = f"{255 * outcome.size:.3g}/255" if question.norm == "linf" else f"{outcome.size:.3g}"
    looked = f"{outcome.passes:,} {'look' if outcome.passes == 1 else 'looks'} at the model"
    return f"Size of the change: {size}, after {looked} in {outcome.seconds:.1f} s."
