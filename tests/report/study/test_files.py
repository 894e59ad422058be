import csv
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
        "FGSM (one step), PGD (20 steps)",
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
