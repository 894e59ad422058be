from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robustpeft.records import (
    AuditRecord,
    DataInfo,
    Measurement,
    Rate,
    StudyRecord,
    Subject,
    write_record,
    write_study_record,
)


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for label in ("LoRA", "FullLoRA"):
        subject = Subject(label, "digits_vit", "b" * 64, 100, 400)
        data = DataInfo("photos", "test", 4, ("cat", "dog"), (16, 16), "d" * 64)
        clean = Measurement("clean", "clean", "clean", Rate(3, 4), (Rate(2, 2), Rate(1, 2)))
        write_record(AuditRecord(subject, data, (clean,)), tmp_path / "audit" / label.lower())
    monkeypatch.chdir(tmp_path)
    return tmp_path / "audit"


def test_the_report_lies_where_all_records_lie(records: Path, type_in: Callable[..., Any]) -> None:
    ended = type_in("report", "audit/lora", "audit/fulllora/audit.json")
    assert ended.out.splitlines()[-1] == f"report: {records / 'report.html'}"
    assert "FullLoRA" in ended.out
    assert "FullLoRA" in (records / "report.md").read_text()


def test_of_one_record_it_lies_beside_it(records: Path, type_in: Callable[..., Any]) -> None:
    assert type_in("report", "audit/lora").status == 0
    assert (records / "lora" / "report.html").is_file()


def test_or_where_it_is_asked_for(records: Path, type_in: Callable[..., Any]) -> None:
    assert "report: there/report.html" in type_in("report", "audit/lora", "--output", "there").out


def test_for_robustbench_it_is_json_and_says_what_is_left_out(records: Path, type_in: Callable[..., Any]) -> None:
    refused = type_in("report", "audit/lora", "--format", "robustbench")
    assert refused.status == 2
    assert "LoRA was not attacked in Linf or L2" in refused.err
    attacked = Path(__file__).parents[2] / "docs" / "results" / "demo" / "fulllora-digits"
    ended = type_in("report", attacked, "--format", "robustbench", "--output", "there")
    assert ended.status == 0
    assert ended.out == "robustbench: there/robustbench/digits/Linf/FullLoRA-adversarial.json\n"
    assert "left out: RobustBench has no data set 'digits'" in ended.err


def test_a_study_has_a_report_of_its_own(records: Path, type_in: Callable[..., Any]) -> None:
    place = records.parent / "mine"
    write_study_record(StudyRecord("mine", "Which?", "smoke", "../store", (), (), (), None, place))
    assert type_in("report", "mine").out == "report: mine/report/report.md\n"
    assert "Which?" in (place / "report" / "report.html").read_text()
    assert type_in("report", "mine", "--output", "there").out == "report: there/report.md\n"
    for words, said in (
        (("mine", "audit/lora"), "has a report of its own; got 2 paths"),
        (("mine", "--format", "robustbench"), "its report is html"),
    ):
        ended = type_in("report", *words)
        assert ended.status != 0
        assert said in " ".join(ended.err.split())
