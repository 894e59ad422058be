import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from robustpeft.report.study.figures import budget_figure, curve_figure, standalone
from robustpeft.report.study.summary import summarise_grid


@pytest.fixture
def grid(study):
    return summarise_grid(study, "main")


@pytest.mark.parametrize("draw", [budget_figure, curve_figure])
def test_a_figure_is_a_file_of_its_own(grid, draw):
    svg = draw(grid, "main")
    assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert "var(" not in svg
    assert "currentColor" not in svg
    assert draw(grid, "main") == svg


def test_groups_and_the_front_are_named_and_every_point_is_told(grid):
    svg = budget_figure(grid, "main")
    for text in (">LoRA<", ">full<", ">Pareto front<", "LoRA 2: 200 parameters, 45.0 %."):
        assert text in svg


def test_many_arms_are_shown_by_the_best_of_each_group(grid):
    few = curve_figure(grid, "main")
    assert all(f">{s.arm.label}<" in few for s in grid.arms)
    many = replace(grid, arms=grid.arms * 2)
    svg = curve_figure(many, "main")
    assert "Curves of LoRA 4, full." in svg


def test_labels_are_text_and_not_formulas(grid):
    strange = replace(grid.arms[0], arm=replace(grid.arms[0].arm, label="a$b$ <c>", group="a$b$ <c>"))
    for draw in (budget_figure, curve_figure):
        assert "a$b$ &lt;c&gt;" in draw(replace(grid, arms=(strange, *grid.arms[1:])), "x")


def test_without_a_threat_there_is_nothing_to_draw(grid):
    assert budget_figure(replace(grid, headline=None), "x") is None
    assert curve_figure(replace(grid, headline=None), "x") is None
    assert budget_figure(replace(grid, arms=grid.arms[:1]), "x") is None


def test_page_colours_become_plain_ones():
    assert '<svg xmlns="http://www.w3.org/2000/svg"' in standalone('<svg class="a"></svg>')
    assert "stroke: #0072b2" in standalone("<svg>stroke: var(--series-1, #0072b2)</svg>")
