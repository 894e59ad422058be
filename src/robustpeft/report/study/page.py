"""How does a study look as something to send? As one HTML page that needs no network, no script and no other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from robustpeft.records import StudyRecord
from robustpeft.report.drawing import Drawing
from robustpeft.report.study.outline import Item, Section
from robustpeft.report.study.tables import TextTable
from robustpeft.report.svg import figure_svg
from robustpeft.report.templating import page_templates
from robustpeft.report.wording import number_text

__all__ = ["render_study_html"]

LIMITS = (
    "Robust accuracies are upper bounds: the attacks that were run found nothing on these images, another may.",
    "Intervals over images and McNemar's tests take the tuned models as they are; how other seeds would turn out, two "
    "or three seeds hardly tell.",
    "What was compared is what the grids hold, at the sizes and with the trials they name; more of either may differ.",
)


@dataclass(frozen=True)
class _Part:
    """What the template shows at one place: one of the four, and the others empty."""

    text: str = ""
    sentences: tuple[str, ...] = ()
    table: TextTable | None = None
    figure: Markup | None = None
    folded: bool = False


def render_study_html(study: StudyRecord, sections: Sequence[Section], sources: Sequence[str]) -> str:
    """Return the study as one HTML document; every text of the study is escaped.

    Args:
        study: Its record.
        sections: What it shows.
        sources: BibTeX.
    """
    return (
        page_templates()
        .get_template("study.html")
        .render(
            title=f"{study.name}{f', scale {study.scale}' if study.scale else ''}",
            question=study.question,
            sections=[(section.title, [p for item in section.items for p in _parts(item)]) for section in sections],
            sources=sources,
            limits=LIMITS,
        )
    )


def _parts(item: Item) -> list[_Part]:
    if isinstance(item, str):
        return [_Part(text=item)]
    if isinstance(item, tuple):
        return [_Part(sentences=item)]
    if isinstance(item.content, TextTable):
        return [_Part(table=item.content, folded=item.detail)]
    drawing = item.content
    svg = figure_svg(drawing.figure, f"figure-{item.name}", drawing.title, drawing.spoken)
    # Drawn by this package; whatever came from a record was escaped on the way in.
    figure = Markup(svg)  # noqa: S704
    return [_Part(text=drawing.title, figure=figure), _Part(table=_numbers(drawing), folded=True)]


def _numbers(drawing: Drawing) -> TextTable:
    heads = list(dict.fromkeys(key for row in drawing.rows for key in row))
    rows = tuple(tuple(_cell(row.get(head, "")) for head in heads) for row in drawing.rows)
    return TextTable(f"Numbers of this figure: {drawing.title}", tuple(heads), rows)


def _cell(value: Any) -> str:
    return number_text(value) if isinstance(value, float) else str(value)
