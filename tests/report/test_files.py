import pytest

from robustpeft.errors import UserError
from robustpeft.report import render_html, render_markdown, write_report


def test_both_files_are_written_and_nothing_else(make_record, tmp_path):
    record = make_record()
    path = write_report([record], tmp_path / "new")
    assert path == tmp_path / "new" / "report.html"
    assert sorted(p.name for p in path.parent.iterdir()) == ["report.html", "report.md"]
    assert path.read_text(encoding="utf-8") == render_html([record])
    assert (path.parent / "report.md").read_text(encoding="utf-8") == render_markdown([record])


def test_a_refused_report_leaves_nothing_behind(tmp_path):
    with pytest.raises(UserError):
        write_report([], tmp_path)
    assert list(tmp_path.iterdir()) == []
