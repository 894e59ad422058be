"""How is a record shown in a browser? As one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from robustpeft.records import AuditRecord
from robustpeft.report.breakdown import breakdown_tables, worst_case_panels
from robustpeft.report.comparable import comparable
from robustpeft.report.curves import Panel, attack_panels, perturbation_panels
from robustpeft.report.figures import cost_figure, panel_figure, swatch
from robustpeft.report.gallery import gallery
from robustpeft.report.headline import headline, publishable
from robustpeft.report.ladder import attacker_ladders
from robustpeft.report.ladder_figure import ladder_figure
from robustpeft.report.limits import limits
from robustpeft.report.provenance import data_facts, provenance
from robustpeft.report.step_figure import step_figure
from robustpeft.report.step_panels import StepPanel, norm_panels, query_panels
from robustpeft.report.story import attack_story, default_title, paired_sentences
from robustpeft.report.tables import Table, cost_table, headline_table
from robustpeft.report.templating import page_templates
from robustpeft.report.trust import trust
from robustpeft.report.wording import data_text, date_text, percent_text

__all__ = ["render_html"]

_LEGENDS = ("ladder", "epsilon", "queries", "norms", "strength", "cost")


@dataclass(frozen=True)
class Plot:
    """A figure with the numbers behind it.

    Args:
        title: Shown above.
        svg: The drawing, already HTML.
        table: The same numbers.
    """

    title: str
    svg: Markup
    table: Table


@dataclass(frozen=True)
class Key:
    """A subject in the legend."""

    label: str
    svg: Markup


@dataclass(frozen=True)
class Bar:
    """A share of the whole model.

    Args:
        name: Share of what.
        width: As a CSS length.
        share: In words.
    """

    name: str
    width: str
    share: str


def render_html(records: Sequence[AuditRecord], title: str | None = None) -> str:
    """Return the report as one HTML document.

    Args:
        records: One per subject, measured on the same images.
        title: Heading; by default it names the subjects and the data.

    Raises:
        UserError: If there is no record, or they cannot be compared.
    """
    records = comparable(records)
    shown = publishable(records)
    cost = cost_figure(shown, "cost-figure") if shown else None
    ladder = attacker_ladders(shown)
    return (
        page_templates()
        .get_template("page.html")
        .render(
            title=title or default_title(records),
            data_text=data_text(records[0].data),
            date=max(date_text(record) for record in records),
            headlines=[headline(record) for record in records],
            ladder=ladder,
            ladder_figure=_markup(ladder_figure(ladder, "ladder-figure")) if ladder else None,
            queries=_step_plots(query_panels(shown), "queries") if shown else (),
            norms=_step_plots(norm_panels(shown), "norms") if shown else (),
            trusts=[trust(record) for record in records],
            story=attack_story(shown).replace(" %", "\u00a0%") if shown else None,
            headline=headline_table(shown) if shown else None,
            paired=paired_sentences(shown) if shown else (),
            labels=[record.subject.label for record in shown],
            legends={place: _legend(shown, place) for place in _LEGENDS},
            attacks=_plots((*worst_case_panels(shown), *attack_panels(shown)), "attack"),
            breakdown=breakdown_tables(shown),
            perturbations=_plots(perturbation_panels(shown), "perturbation"),
            gallery=gallery(shown),
            costs=cost_table(shown) if shown else None,
            cost_figure=_markup(cost) if cost else None,
            bars=_bars(shown),
            data_facts=data_facts(records[0]),
            provenances=[provenance(record) for record in records],
            limits=limits(records),
        )
    )


def _markup(svg: str) -> Markup:
    # Drawn by this package; whatever came from a record was escaped on the way in.
    return Markup(svg)  # noqa: S704


def _legend(records: Sequence[AuditRecord], place: str) -> list[Key]:
    return [Key(r.subject.label, _markup(swatch(i, f"{place}-key-{i}"))) for i, r in enumerate(records)]


def _plots(panels: Sequence[Panel], name: str) -> list[Plot]:
    return [Plot(p.title, _markup(panel_figure(p, f"{name}-{i}")), p.table()) for i, p in enumerate(panels)]


def _step_plots(panels: Sequence[StepPanel], name: str) -> list[Plot]:
    return [Plot(p.title, _markup(step_figure(p, f"{name}-{i}")), p.table()) for i, p in enumerate(panels)]


def _bars(records: Sequence[AuditRecord]) -> list[tuple[str, list[Bar]]]:
    """Return per subject its label, and how much of the whole model its trained parameters and adapter bytes are."""
    return [
        (
            record.subject.label,
            [
                _bar("Trained parameters", record.subject.num_trained, record.subject.num_parameters),
                _bar("Adapter file", record.subject.adapter_bytes or 0, record.subject.model_bytes),
            ],
        )
        for record in records
    ]


def _bar(name: str, part: int, whole: int) -> Bar:
    width = min(100 * part / whole, 100.0)
    return Bar(name, f"{width:.2f}%", f"{percent_text(part / whole)} %" if part else "none")
