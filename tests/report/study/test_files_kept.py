"""What `scripts/keep_results.py` keeps of a study is enough to find the same in it, and names no machine's paths."""

import importlib.util
import re
from dataclasses import replace
from pathlib import Path

import pytest

from robustpeft.errors import UserError
from robustpeft.records import read_study_record, write_study_record
from robustpeft.records.transfer_record import read_transfer, write_transfer
from robustpeft.report.study.findings import findings
from robustpeft.report.study.summary import summarise_grids

ROOT = Path(__file__).resolve().parents[3]


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def kept(study, tmp_path):
    command = "robustpeft study mine --set data.train=/home/someone/images/train.parquet"
    write_study_record(replace(study, command=command))
    return script("keep_results").keep_study(study.directory, tmp_path / "kept")


def test_what_is_kept_says_the_same(study, kept):
    again = read_study_record(kept)
    assert findings(again, summarise_grids(again, "main")) == findings(study, summarise_grids(study, "main"))
    assert again.command == "robustpeft study mine --set data.train=train.parquet"
    assert {file.suffix for file in (kept / "report").iterdir()} == {".md", ".svg", ".csv"}
    linked = re.findall(r"\]\(([^)]+)\)", (kept / "report" / "report.md").read_text())
    assert len(linked) >= 6
    assert all((kept / "report" / link).is_file() for link in linked)
    texts = [file.read_text() for file in kept.rglob("*") if file.is_file()]
    assert not any("/home/someone" in text for text in texts)


def test_keeping_it_again_leaves_nothing_of_before(study, kept, tmp_path):
    (kept / "store" / "old").mkdir()
    script("keep_results").keep_study(study.directory, tmp_path / "kept")
    assert not (kept / "store" / "old").exists()


def test_a_stage_is_kept_with_its_rows(kept, tmp_path, transfer_record):
    write_transfer(transfer_record, tmp_path / "stage")
    (tmp_path / "stage" / "claim-0").write_text("")
    script("keep_results")._copy_stage(tmp_path / "stage", kept / "store" / "stage")
    assert read_transfer(kept / "store" / "stage") == read_transfer(tmp_path / "stage")
    assert not (kept / "store" / "stage" / "claim-0").exists()


def test_only_what_bears_its_name_is_replaced(study, kept, tmp_path, monkeypatch):
    keep = script("keep_results").keep_study
    monkeypatch.chdir(study.directory)
    assert keep(Path(), tmp_path / "kept") == kept
    with pytest.raises(UserError, match="give the directory of the study itself"):
        keep(kept, tmp_path / "kept")
    assert read_study_record(kept).name == "mine"


def test_the_document_shows_findings_tables_and_figures_that_are_there(kept, monkeypatch):
    generate = script("generate_docs")
    monkeypatch.setattr(generate, "ROOT", kept.parent)
    text = generate.study_results(kept)
    order = [
        text.index(part)
        for part in ("**Which?**", "](study/", "| LoRA 1 | 100", "- full keeps the most", "For every arm")
    ]
    assert order == sorted(order)
    assert "All trials" not in text.replace("all trials", "")
    figures = [part.split(")")[0] for part in text.split("](")[1:]]
    assert len(figures) >= 3
    assert all((kept.parent / figure).is_file() for figure in figures)
