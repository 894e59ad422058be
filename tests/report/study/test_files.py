import csv
import dataclasses
import io
import re
from dataclasses import replace

from robustpeft.records import read_records, write_study_record
from robustpeft.report.study import write_study_report


def test_everything_lies_beside_the_report(study):
    page = write_study_report(study)
    folder = study.directory / "report"
    assert page == folder / "report.md"
    expected = {"report.md", "report.html", "records.csv", "sources.bib"}
    figures = ("main-budgets", "main-epsilon", "main-strengths")
    expected |= {f"{name}.{kind}" for name in figures for kind in ("svg", "pdf", "csv")}
    tables = ("main-accuracy", "main-attacks", "main-perturbations", "main-cost", "trials")
    expected |= {f"{name}.{kind}" for name in tables for kind in ("csv", "tex")}
    assert {path.name for path in folder.iterdir()} == expected
    text = page.read_text()
    assert text.startswith("# mine, scale smoke\n\nWhich?\n")
    for part in (
        "3 trials",
        "seeds 1, 2",
        "digits, test split, 40 images",
        "Attacks: FGSM, PGD (20 steps);",
        "@misc{a}",
    ):
        assert part in text
    assert "](main-budgets.svg)" in text
    with (folder / "main-accuracy.csv").open() as file:
        assert next(csv.DictReader(file))["arm"] == "LoRA 1"


def test_the_long_table_is_the_records(study):
    write_study_record(study)
    rows = read_records(study.directory)
    assert len(rows) == 4 * 2 * 9
    row = next(r for r in rows if (r["arm"], r["seed"], r["key"]) == ("full", 2, "pgd@linf:0.1"))
    assert (row["correct"], row["n"], row["accuracy"], row["chosen.training.learning_rate"]) == (32, 40, 0.8, 0.1)
    write_study_report(study)
    with (study.directory / "report" / "records.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(rows)


def test_a_study_that_has_judged_nothing_says_so(study):
    text = write_study_report(replace(study, arms=(), contrasts=())).read_text()
    assert "Nothing has been judged yet." in text


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
