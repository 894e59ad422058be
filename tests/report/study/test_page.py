import dataclasses
import re

from robustpeft.report.drawing import Drawing
from robustpeft.report.study import write_study_report
from robustpeft.report.study.outline import Shown, outline, sources_of
from robustpeft.report.study.page import render_study_html


def page_of(study):
    return render_study_html(study, outline(study), sources_of(study))


def test_it_shows_every_table_and_every_figure_with_its_numbers(study):
    html = page_of(study)
    shown = [item for section in outline(study) for item in section.items if isinstance(item, Shown)]
    drawings = [item.content for item in shown if isinstance(item.content, Drawing)]
    for table in (item.content for item in shown if not isinstance(item.content, Drawing)):
        for row in table.rows:
            for cell in row:
                assert f">{cell}<" in html
    assert html.count('role="img"') == len(drawings) == 3
    assert html.count("<summary>Numbers of this figure") == 3
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_texts_of_a_study_are_no_markup(study):
    evil = "<script>alert(1)</script>"
    arms = tuple(dataclasses.replace(arm, label=f"{arm.label}{evil}", group=evil) for arm in study.arms)
    html = page_of(dataclasses.replace(study, name=evil, question=evil, sources=(evil,), arms=arms))
    assert "<script" not in html
    assert "http" not in html.replace("http://www.w3.org/", "")


def test_it_lies_beside_the_markdown(study):
    path = write_study_report(study)
    assert (path.parent / "report.html").read_text(encoding="utf-8") == page_of(study)


def test_a_study_that_has_not_begun_has_a_page(study):
    assert "Nothing has been judged yet" in page_of(dataclasses.replace(study, arms=(), contrasts=()))
