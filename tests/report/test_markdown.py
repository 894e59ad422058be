import re
from itertools import pairwise

import pytest

from robustpeft.report.markdown import render_markdown, table_markdown
from robustpeft.report.tables import Cell, Column, Row, Table, headline_table


def parsed(text: str) -> list[dict[str, str]]:
    """The rows of the first Markdown table in the text, by column."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def test_the_table_parses_back_to_the_counts(make_record):
    records = [make_record("undefended", pgd=set(range(40))), make_record("FullLoRA")]
    rows = parsed(table_markdown(headline_table(records)))
    assert [row["Model"] for row in rows] == ["undefended", "FullLoRA"]
    for row, record in zip(rows, records, strict=True):
        for column, key in {"Clean accuracy": "clean", "PGD (Linf 0.1, 20 steps)": "pgd@linf:0.1"}.items():
            percent, low, high, count, n = map(float, re.findall(r"[\d.]+", row[column]))
            rate = record[key].correct
            assert (count, n) == (rate.count, rate.n)
            assert percent / 100 == pytest.approx(rate.fraction, abs=5e-4)
            assert (low / 100, high / 100) == pytest.approx(rate.interval(), abs=5e-4)


def test_markup_in_names_stays_text(make_record):
    text = table_markdown(Table("t", (Column("a|b"),), (Row("x\n| <script> [l](u) `c`", (Cell("1"),)),)))
    assert text.splitlines()[2] == r"| x \| &lt;script> \[l\](u) \`c\` | 1 |"


def test_the_document_says_what_the_page_says(make_record):
    text = render_markdown([make_record(command="a ``` b")])
    for expected in ("Against FullLoRA they win on 24 of 39", "### Patch drop", "33 of 40", "d" * 64, "upper bound"):
        assert expected in text
    assert "````\na ``` b\n````" in text


def test_it_has_one_title_and_the_headings_follow(make_record):
    levels = [len(marks) for marks in re.findall(r"^(#+) ", render_markdown([make_record()]), re.MULTILINE)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
