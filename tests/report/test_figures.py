import re
import xml.etree.ElementTree as ET
from collections import Counter

import pytest

from robustpeft.report.curves import attack_panels, perturbation_panels
from robustpeft.report.figures import cost_figure, panel_figure, swatch


@pytest.fixture
def records(make_record):
    return [make_record("a & b"), make_record("$x$ _<i>", pgd={1, 2})]


def test_a_figure_speaks_its_numbers_to_a_screen_reader(records):
    root = ET.fromstring(panel_figure(attack_panels(records)[1], "p"))
    assert root.get("role") == "img"
    spoken = {e.get("id"): e.text for e in root.iter() if e.tag in {"title", "desc"}}
    assert spoken["p-title"] == "Accuracy against epsilon: PGD, 20 steps, Linf"
    assert "a & b: 97.5 % at 0, 75.0 % at 0.05, 50.0 % at 0.1. $x$ _<i>: 97.5 %" in spoken["p-desc"]
    assert root.get("aria-labelledby").split() == ["p-title", "p-desc"]


def test_figures_on_one_page_share_no_id_and_point_only_into_themselves(records):
    panels = [*attack_panels(records), *perturbation_panels(records)]
    drawings = [panel_figure(panel, f"panel-{i}") for i, panel in enumerate(panels)]
    drawings += [swatch(0, "key-0"), swatch(1, "key-1"), cost_figure(records, "cost")]
    ids = [set(re.findall(r'\bid="([^"]+)"', drawing)) for drawing in drawings]
    assert max(Counter(name for names in ids for name in names).values()) == 1
    for drawing, own in zip(drawings, ids, strict=True):
        assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', drawing)) <= {
            pair for name in own for pair in ((name, ""), ("", name))
        }


def test_a_figure_takes_colours_and_font_from_the_page(records):
    drawing = panel_figure(attack_panels(records)[0], "p")
    assert "currentColor" in drawing
    assert "var(--series-1" in drawing
    assert "var(--series-2" in drawing
    assert "#0102" not in drawing
    assert not re.search("font-family|<style|http", drawing)


def test_a_point_lies_where_its_count_says(records):
    drawing = panel_figure(attack_panels(records)[1], "p")
    lines = re.findall(r'd="M [\d.]+ ([\d.]+) L [\d.]+ [\d.]+ "[^>]*stroke: var\(--grid', drawing)
    marks = re.findall(r'<use href="[^"]+" x="[\d.]+" y="([\d.]+)" style="fill: var\(--series-1[^;"]*"', drawing)
    bottom, top = float(lines[0]), float(lines[-1])
    percents = [100 * (bottom - float(y)) / (bottom - top) for y in marks]
    assert percents == pytest.approx([97.5, 75, 50], abs=0.01)


def test_subjects_differ_in_marker_and_dashes_too():
    drawings = [re.sub(r"key-\d|var\([^)]*\)|m[0-9a-f]{10}", "", swatch(i, f"key-{i}")) for i in range(12)]
    assert len(set(drawings)) == 12


def test_robustness_against_cost_needs_two_subjects(records):
    assert cost_figure(records[:1], "cost") is None
    assert "a &amp; b: 0.0 % trained, 37.5 % (24.2 to 53.0), 15 of 40 correct." in cost_figure(records, "cost")


def test_the_same_figure_is_the_same_text(records):
    panel = attack_panels(records)[0]
    assert panel_figure(panel, "p") == panel_figure(panel, "p")
