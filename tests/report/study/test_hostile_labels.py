"""Whatever an arm is called, the report of a study keeps its tables and runs nothing."""

import csv
import dataclasses
import io
import re

import pytest

from robustpeft.report.study import write_study_report

HOSTILE = [
    '"><script>alert(1)</script><img src=x onerror=alert(1)>',
    "</title></style></svg><script>alert(1)</script>",
    "javascript:alert(1)",
    "{{ 7 * 191 }}{% raw %}${7*191}#{7*191}",
    "--><!--",
    "\x1b]0;owned\x07\x1b[2J\x9b31m",
    "a\nb\r\n| c | d |\n# e",
    "[bold red]x[/bold red][/nothing]",
    "\u202egnp.exe\u2066",
    "%s%n%d{}{0.__class__}",
    "\\input{/etc/passwd} $\\write18{ls}$ & % #",
    "=HYPERLINK(1)",
    "",
    " ",
]


@pytest.mark.parametrize("evil", HOSTILE)
def test_the_report_of_a_study_keeps_its_tables(evil, study):
    arms = tuple(dataclasses.replace(arm, label=f"{i}{evil}") for i, arm in enumerate(study.arms))
    path = write_study_report(dataclasses.replace(study, name=f"s{evil}", question=evil, arms=arms, contrasts=()))
    assert {file.parent for file in path.parent.rglob("*")} == {path.parent}
    for file in path.parent.glob("*.csv"):
        rows = list(csv.reader(io.StringIO(file.read_text(encoding="utf-8"))))
        assert len({len(row) for row in rows}) == 1, file.name
    for file in path.parent.glob("*.svg"):
        assert "<script" not in file.read_text(encoding="utf-8")
    outside = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert "<script" not in outside
    for file in path.parent.glob("*.tex"):
        assert "\\input{" not in file.read_text(encoding="utf-8")
