import os

import pytest

from robustpeft.app.records_table import COLUMNS, Shelf, filter_rows, sort_rows
from robustpeft.errors import UserError
from robustpeft.records import (
    ArmRecord,
    Rate,
    RunRecord,
    StudyRecord,
    write_record,
    write_study_record,
)


@pytest.fixture
def shelf(tmp_path, make_record, check):
    write_record(make_record("LoRA"), tmp_path / "a" / "audit")
    write_record(make_record("FullLoRA", attacked=frozenset({1})), tmp_path / "b")
    write_record(make_record("weak", checks=(check("strength", "fail"),)), tmp_path / "c")
    write_record(make_record("false", checks=(check("integrity", "fail"),)), tmp_path / "d")
    return Shelf([tmp_path])


def labels(rows):
    return [row.model for row in rows]


def test_every_record_below_the_folder_is_a_row(shelf):
    rows = {row.model: row for row in shelf.rows()}
    assert set(rows) == {"LoRA", "FullLoRA", "weak", "false"}
    row = rows["LoRA"]
    assert (row.clean, row.robust, row.n) == (Rate(39, 40), Rate(30, 40), 40)
    assert (row.threat, row.kind, row.created) == ("Linf 0.1", "unchecked", "2026-01-31")
    assert rows["weak"].kind == "upper_bound"
    assert "at most" in rows["weak"].sentence


def test_a_record_that_must_not_be_published_shows_no_number(shelf):
    (row,) = [row for row in shelf.rows() if row.model == "false"]
    assert (row.kind, row.clean, row.robust) == ("refused", None, None)


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_sorts_both_ways_and_what_is_missing_comes_last(shelf, column):
    rows = shelf.rows()
    up, down = sort_rows(rows, column), sort_rows(rows, column, descending=True)
    assert sorted(labels(up)) == sorted(labels(down)) == sorted(labels(rows))
    if column in ("clean", "robust"):
        assert up[-1].model == down[-1].model == "false"
    if column == "robust":
        assert labels(down)[0] == labels(up)[-2] == "FullLoRA"


def test_no_other_column_sorts(shelf):
    with pytest.raises(UserError, match="there is no column 'path'"):
        sort_rows(shelf.rows(), "path")


def test_a_filter_wants_every_word_in_any_case(shelf):
    rows = shelf.rows()
    assert labels(filter_rows(rows, "fulllora DIGITS")) == ["FullLoRA"]
    assert labels(filter_rows(rows, "lora")) == ["LoRA", "FullLoRA"]
    assert len(filter_rows(rows, "  ")) == 4
    assert filter_rows(rows, "lora swin") == ()


def test_a_damaged_record_is_told_and_the_others_are_shown(shelf, tmp_path):
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "audit.json").write_text("{")
    assert len(shelf.rows()) == 4
    assert len(shelf.problems) == 1
    assert "e/audit.json" in shelf.problems[0]


def test_a_record_is_read_again_only_when_it_changed(shelf, tmp_path, make_record, monkeypatch):
    from robustpeft.app import records_table

    shelf.rows()
    read = []
    original = records_table.read_record
    monkeypatch.setattr(records_table, "read_record", lambda path: read.append(path) or original(path))
    shelf.rows()
    assert read == []
    write_record(make_record("renamed"), tmp_path / "b")
    os.utime(tmp_path / "b" / "audit.json", (1, 1))
    assert "renamed" in labels(shelf.rows())
    assert [path.parent.name for path in read] == ["b"]


def test_a_key_leads_to_its_record_and_nothing_else_does(shelf):
    row = shelf.rows()[0]
    assert shelf.record(row.key).subject.label == row.model
    for key in ("", "../../etc/passwd", str(row.path), row.key + "x"):
        with pytest.raises(UserError, match="there is no such record"):
            shelf.record(key)


def test_a_judged_run_of_a_study_says_where_it_belongs(tmp_path, make_record):
    write_record(make_record("LoRA"), tmp_path / "store" / "abc")
    arm = ArmRecord("grid", "arm one", "arm", {}, {}, (), (), (RunRecord("abc", seed=5),))
    (tmp_path / "study").mkdir()
    write_study_record(StudyRecord("small", "?", "smoke", "../store", (arm,), directory=tmp_path / "study"))
    (row,) = Shelf([tmp_path]).rows()
    assert row.study == "small: grid, arm one, seed 5"
