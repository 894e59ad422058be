import dataclasses
import re

from robustpeft.report.study import write_study_report
from robustpeft.report.study.files import protocol
from robustpeft.report.study.page import render_study_html
from robustpeft.report.study.summary import summarise_grid
from robustpeft.report.study.tables import main_table


def page_of(study):
    grids = [grid for name in study.grids if (grid := summarise_grid(study, name)) is not None]
    return render_study_html(study, grids, protocol(study, grids)), grids


def test_it_shows_the_numbers_of_the_tables_and_both_figures(study):
    html, (grid,) = page_of(study)
    for row in main_table(grid).rows:
        for cell in row:
            assert f">{cell}<" in html
    assert html.count('role="img"') == 2
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_texts_of_a_study_are_no_markup(study):
    evil = "<script>alert(1)</script>"
    arms = tuple(dataclasses.replace(arm, label=f"{arm.label}{evil}", group=evil) for arm in study.arms)
    html, _ = page_of(dataclasses.replace(study, name=evil, question=evil, sources=(evil,), arms=arms))
    assert "<script" not in html
    assert "http" not in html.replace("http://www.w3.org/", "")


def test_it_lies_beside_the_markdown(study):
    path = write_study_report(study)
    assert (path.parent / "report.html").read_text(encoding="utf-8") == page_of(study)[0]


def test_a_study_that_has_not_begun_has_a_page(study):
    html = render_study_html(dataclasses.replace(study, arms=()), [], "")
    assert "Nothing has been judged yet" in html
