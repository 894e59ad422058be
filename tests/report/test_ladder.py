import dataclasses
import io
import re
from importlib.resources import files

import pytest
from rich.console import Console

from robustpeft.records import Check, Measurement, MinimalSearch, Rate
from robustpeft.report import render_html, render_markdown, terminal_headlines, terminal_ladder, terminal_table
from robustpeft.report.ladder import attacker_ladders
from robustpeft.report.ladder_figure import ladder_figure
from robustpeft.report.step_figure import step_figure
from robustpeft.report.step_panels import norm_panels, query_panels

N = 40
THREAT = {"norm": "linf", "epsilon": 0.1}


@pytest.fixture
def asked(make_record):
    """Return a record in which Square broke image i by question 10 i, up to image 30."""

    def make(label="FullLoRA", budget=5000, **fields):
        record = make_record(label, minimal=MinimalSearch("linf", "fmn", {"steps": 100}), **fields)
        wrong = set(range(1, 31))
        square = Measurement(
            "square@linf:0.1",
            "attack",
            "square",
            Rate(N - len(wrong) - 1, N),
            tuple(Rate(sum(i not in wrong | {0} for i in range(c, N, 4)), N // 4) for c in range(4)),
            threat=THREAT,
            strength=0.1,
            queries=budget,
            forwards=40000,
            seconds=100.0,
        )
        rows = tuple(
            dataclasses.replace(
                row,
                predictions=row.predictions | {square.key: (row.label + (row.id in wrong | {0})) % 4},
                queries={square.key: 10 * row.id} if row.id in wrong else {},
                smallest=row.id / 100 if row.id < 35 else None,
            )
            for row in record.rows
        )
        return dataclasses.replace(record, measurements=(*record.measurements, square), rows=rows)

    return make


def everything(records):
    console = Console(file=io.StringIO(), width=120)
    console.print(*terminal_headlines(records))
    console.print(terminal_ladder(records))
    console.print(terminal_table(records))
    return {"html": render_html(records), "markdown": render_markdown(records), "terminal": console.file.getvalue()}


def test_every_rung_is_everywhere(asked):
    for text in everything([asked()]).values():
        for title in ("An accident", "The public network", "100 questions", "5,000 questions", "Full knowledge"):
            assert title in text
        assert "29 of 40" in text or "72.5" in text  # after 100 questions images 1 to 10 have fallen, 0 never stood
        assert "not measured" in text


def test_the_ladder_opens_the_page(asked):
    html = render_html([asked()])
    headings = re.findall(r"<h2[^>]*>([^<]*)", html)
    assert headings[0] == "What it takes to break it"
    assert "questions about 40 images" in html


def test_a_record_that_is_refused_has_no_ladder(asked):
    bad = dataclasses.replace(
        asked(), checks=(Check("range", "Images lie in [0, 1]", "fail", "no", group="integrity"),)
    )
    assert terminal_ladder([bad]) is None
    assert "What it takes" not in render_html([bad])
    assert attacker_ladders([]) is None


def test_models_of_different_radii_carry_their_own(asked):
    one, other = asked("one"), asked("two")
    small = dataclasses.replace(
        other, measurements=tuple(m for m in other.measurements if m.strength != 0.1 or m.kind != "attack")
    )
    ladder = attacker_ladders([one, small])
    assert ladder.where == ""
    assert ladder.labels == ("one, Linf 0.1", "two, Linf 0.05")


def test_the_word_is_in_no_template_and_in_no_rendered_report(asked, make_record):
    """What was not broken by what was tried has not been shown to be out of reach."""
    room = files("robustpeft.report").joinpath("templates")
    for template in room.iterdir():
        assert not re.search(r"\bsafe", template.read_text(), re.IGNORECASE), template
    robust = asked("held", pgd=set(), fgsm=set(), clean=set())
    for records in ([robust], [robust, make_record("undefended", pgd=set(range(40)))]):
        for where, text in everything(records).items():
            assert not re.search(r"\bsafe", text, re.IGNORECASE), where


def test_figures_are_spoken_and_told_apart_without_colour(asked):
    records = [asked("one"), asked("two")]
    ladder = attacker_ladders(records)
    drawn = ladder_figure(ladder, "x")
    assert "100 questions, one: 72.5 %" in drawn
    assert "The public network, two: not measured." in drawn
    for panel in (*query_panels(records), *norm_panels(records)):
        svg = step_figure(panel, "y")
        assert 'role="img"' in svg
        assert "stroke-dasharray" in svg
        assert all(record.subject.label in svg for record in records)


def test_accuracy_after_so_many_questions_is_in_the_table(asked):
    (panel,) = query_panels([asked()])
    table = panel.table()
    assert [column.title for column in table.columns] == ["None", "1", "10", "100", "1,000", "5,000"]
    assert [cell.notes[0] for cell in table.rows[0].cells] == [f"{k} of 40" for k in (39, 39, 38, 29, 9, 9)]


def test_a_shorter_run_ends_where_it_ended(asked):
    (panel,) = query_panels([asked(budget=200)])
    assert panel.places == (1, 10, 100)
    (both,) = query_panels([asked("one", budget=200), asked("two")])
    assert [cell.value for cell in both.table().rows[0].cells[-2:]] == ["-", "-"]


def test_the_share_turned_by_small_perturbations(asked, make_record):
    (panel,) = norm_panels([asked()])
    assert panel.places == pytest.approx((0.025, 0.05, 0.1, 0.2, 0.4))
    assert [cell.notes[0] for cell in panel.table().rows[0].cells][:4] == ["1 of 40", "3 of 40", "6 of 40", "11 of 40"]
    assert norm_panels([make_record()]) == ()
    assert query_panels([make_record()]) == ()


def test_nothing_broken_and_nothing_found_can_be_drawn(asked):
    record = asked(clean=set())
    rows = tuple(dataclasses.replace(row, queries={}, smallest=None) for row in record.rows)
    held = dataclasses.replace(record, rows=rows)
    for panel in (*query_panels([held]), *norm_panels([held])):
        assert step_figure(panel, "z").startswith("<svg")
    assert "What it takes" in render_html([held])


def test_how_many_images_the_questions_were_about_stands_wherever_they_were_fewer(asked):
    """Of images 28 to 39 Square broke 28, 29 and 30."""
    record = asked()
    rows = tuple(
        row if row.id >= 28 else dataclasses.replace(row, predictions=dict(list(row.predictions.items())[:-1]))
        for row in record.rows
    )
    square = dataclasses.replace(record["square@linf:0.1"], correct=Rate(9, 12), per_class=(Rate(9, 12),))
    part = dataclasses.replace(record, measurements=(*record.measurements[:-1], square), rows=rows)
    for where, text in everything([part]).items():
        lines = " ".join(re.sub(r"<[^>]*>|\s+", " ", text).split())
        assert "about 12 images" in lines or where == "terminal", where
        assert "Linf 0.1, 12 images" in lines or where == "terminal", where
    shown = everything([part])["terminal"]
    assert "12 images" in shown
    assert "75.0 %" in shown
    (panel,) = query_panels([part])
    assert [cell.notes[0] for cell in panel.table().rows[0].cells] == [f"{k} of 12" for k in (12, 12, 12, 12, 9, 9)]
    assert "and on 12 of them Square at this one alone" in everything([part])["markdown"]
