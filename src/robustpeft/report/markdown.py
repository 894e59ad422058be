"""How is a record shown where only text goes? The tables and sentences of the page, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from robustpeft.records import AuditRecord
from robustpeft.report.breakdown import breakdown_tables, worst_case_panels
from robustpeft.report.comparable import comparable
from robustpeft.report.curves import attack_panels, perturbation_panels
from robustpeft.report.escaping import escaped
from robustpeft.report.headline import headline, publishable
from robustpeft.report.ladder import attacker_ladders
from robustpeft.report.limits import limits
from robustpeft.report.provenance import Facts, data_facts, provenance
from robustpeft.report.step_panels import norm_panels, query_panels
from robustpeft.report.story import attack_story, default_title, paired_sentences
from robustpeft.report.tables import Table, cost_table, headline_table
from robustpeft.report.trust import trust
from robustpeft.report.wording import data_text

__all__ = ["render_markdown", "table_markdown"]


def render_markdown(records: Sequence[AuditRecord]) -> str:
    """Return the report without its images as Markdown; every text of a record is escaped.

    Raises:
        UserError: If there is no record, or they cannot be compared.
    """
    records = comparable(records)
    shown = publishable(records)
    blocks = [f"# {escaped(default_title(records))}", escaped(data_text(records[0].data))]
    blocks += ["\n".join(f"- {escaped(headline(record).sentence)}" for record in records)]
    blocks += _numbers(shown) if shown else []
    blocks += ["## Why it may be believed"]
    for record in records:
        blocks += trust_blocks(record)
    blocks += ["## How to reproduce", _facts(data_facts(records[0]))]
    for source in map(provenance, records):
        blocks += [f"### {escaped(source.label)}"]
        blocks += [_code(source.command)] if source.command else []
        blocks += [_facts(source.facts)]
    blocks += ["## What this report does not show", "\n".join(f"- {escaped(limit)}" for limit in limits(records))]
    return "\n\n".join(blocks) + "\n"


def _numbers(records: Sequence[AuditRecord]) -> list[str]:
    """Return everything that counts images, of records whose numbers may be shown."""
    ladder = attacker_ladders(records)
    blocks = [f"## {ladder.title}", table_markdown(ladder.table())] if ladder else []
    blocks += [escaped(attack_story(records)), table_markdown(headline_table(records))]
    blocks += [escaped(sentence) for sentence in paired_sentences(records)]
    for heading, panels in (
        ("Accuracy against epsilon", (*worst_case_panels(records), *attack_panels(records))),
        ("Accuracy against the number of questions", query_panels(records)),
        ("How little is enough", norm_panels(records)),
        ("Accuracy against perturbation strength", perturbation_panels(records)),
    ):
        blocks += [f"## {heading}"] if panels else []
        for panel in panels:
            blocks += [f"### {escaped(panel.title)}", table_markdown(panel.table())]
    for table in breakdown_tables(records):
        blocks += [f"## {escaped(table.title)}", table_markdown(table)]
    return [*blocks, "## What was trained", table_markdown(cost_table(records))]


def trust_blocks(record: AuditRecord) -> list[str]:
    """Return the checks of a record: a heading, how they went, and a table for each group."""
    checks = trust(record)
    blocks = [f"### {escaped(checks.label)}", escaped(checks.summary)]
    for section in checks.sections:
        lines = [f"| {escaped(section.heading)} | | |", "| --- | --- | --- |"]
        for answer in section.answers:
            remedy = f" {answer.remedy}" if answer.remedy else ""
            lines.append(f"| {answer.verdict} | {escaped(answer.title)} | {escaped(answer.evidence + remedy)} |")
        blocks.append("\n".join(lines))
    return blocks


def table_markdown(table: Table) -> str:
    """Return the table in Markdown: a row for the heads, one per subject."""
    lines = [[table.rows_are, *(column.text for column in table.columns)], ["---", *("---:" for _ in table.columns)]]
    lines[0] = [escaped(text) for text in lines[0]]
    lines += [[escaped(row.label), *(escaped(cell.text) for cell in row.cells)] for row in table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _facts(facts: Facts) -> str:
    return "\n".join(f"- {name}: {escaped(value)}" for name, value in facts)


def _code(text: str) -> str:
    """Return a code block whose fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"
