import csv
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from robustpeft.report.drawing import write_drawing
from robustpeft.report.study.condition_figures import perturbation_figure
from robustpeft.report.study.figures import bar_figure, budget_figure, curve_figure
from robustpeft.report.study.summary import summarise_grids


@pytest.fixture
def grid(study):
    return summarise_grids(study, "main")[0]


@pytest.fixture
def svg_of(tmp_path):
    def svg_of(drawing, name="main"):
        write_drawing(drawing, tmp_path, name)
        return (tmp_path / f"{name}.svg").read_text()

    return svg_of


def bars(grid):
    return bar_figure(grid, "full")


DRAW = [budget_figure, curve_figure, bars]


@pytest.mark.parametrize("draw", DRAW)
def test_a_figure_is_the_same_in_three_files_every_time(grid, draw, tmp_path):
    shown = write_drawing(draw(grid), tmp_path / "one", "a")
    write_drawing(draw(grid), tmp_path / "two", "a")
    assert "](a.svg)" in shown
    assert "(a.pdf)" in shown
    svg = (tmp_path / "one" / "a.svg").read_text()
    assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert "var(" not in svg
    assert ET.fromstring(svg).get("style") == "background-color: #ffffff"
    assert "currentColor" not in svg
    pdf = (tmp_path / "one" / "a.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    for kind in ("svg", "pdf", "csv"):
        assert (tmp_path / "one" / f"a.{kind}").read_bytes() == (tmp_path / "two" / f"a.{kind}").read_bytes()
    with (tmp_path / "one" / "a.csv").open() as file:
        assert {row["arm"] for row in csv.DictReader(file)} == {"LoRA 1", "LoRA 2", "LoRA 4", "full"}


def test_groups_and_the_front_are_named_and_every_point_is_told(grid, svg_of):
    drawing = budget_figure(grid)
    svg = svg_of(drawing)
    for text in (">LoRA<", ">full<", ">Pareto front<", "LoRA 2: 200 parameters, 45.0 %."):
        assert text in svg
    row = drawing.rows[1]
    assert (row["arm"], row["trained"], row["mean"], row["front"]) == ("LoRA 2", 200, 0.45, True)


def test_many_arms_are_shown_by_the_best_of_each_group(grid, svg_of):
    few = svg_of(curve_figure(grid))
    assert all(f">{s.arm.label}<" in few for s in grid.arms)
    many = replace(grid, arms=grid.arms * 2)
    assert "Curves of LoRA 4, full." in svg_of(curve_figure(many))


def test_labels_are_text_and_not_formulas(grid, svg_of):
    strange = replace(grid.arms[0], arm=replace(grid.arms[0].arm, label="a$b$ <c>", group="a$b$ <c>"))
    for draw in DRAW:
        assert "a$b$ &lt;c&gt;" in svg_of(draw(replace(grid, arms=(strange, *grid.arms[1:]))))


def test_without_a_threat_there_is_nothing_to_draw(grid):
    for draw in DRAW:
        assert draw(replace(grid, headline=None)) is None
    assert budget_figure(replace(grid, arms=grid.arms[:1])) is None
    assert bar_figure(grid, "gone") is None


def test_one_radius_is_no_curve(grid):
    assert len(grid.threats) > 1
    assert curve_figure(replace(grid, threats=grid.threats[:1])) is None


def test_every_bar_has_its_number(grid, svg_of):
    svg = svg_of(bars(grid))
    for summary in grid.arms:
        assert f">{100 * summary.robust[grid.headline].mean:.1f}<" in svg


def test_a_perturbation_with_one_strength_has_no_curve(grid):
    kinds = {m.name for m in grid.example.of("perturbation")}
    drawing = perturbation_figure(grid)
    found = set() if drawing is None else {row["perturbation"] for row in drawing.rows}
    assert found == {name for name in kinds if len(grid.example.of("perturbation", name)) > 1}
