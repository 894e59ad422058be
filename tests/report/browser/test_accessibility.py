"""Can everybody read the pages? axe-core looks at them in a real browser, in light and in dark; so does a printer."""

import dataclasses
import importlib
import os
import shutil
from pathlib import Path

import pytest

from robustpeft.records import Check, read_record
from robustpeft.report import render_html
from robustpeft.report.contact_page import ContactCell, ContactRow, render_contact_page
from robustpeft.report.study import write_study_report
from robustpeft.report.transfer_page import render_transfer_html

DEMO = Path(__file__).parents[3] / "docs" / "results" / "demo"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

pytestmark = pytest.mark.slow


def chromium():
    named = os.environ.get("ROBUSTPEFT_CHROMIUM")
    return named or next((found for name in BROWSERS if (found := shutil.which(name))), None)


@pytest.fixture(scope="module")
def axe():
    """The source of axe-core, out of the installed package that brings it."""
    pytest.importorskip("axe_core_python", reason="axe-core is not installed: pip install axe-core-python")
    return importlib.import_module("axe_core_python.base").AXE_SCRIPT


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="no browser can be driven: pip install playwright")
    path = chromium()
    if path is None:
        pytest.skip(f"no {', '.join(BROWSERS)} in PATH, and ROBUSTPEFT_CHROMIUM names none")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def pages(make_record, transfer_record, study):
    """One page of every kind, with everything on it that a page may hold."""
    demo = [read_record(DEMO / name) for name in ("undefended", "lora-digits", "fulllora-digits")]
    verdicts = ("pass", "warn", "fail", "not_applicable")
    checks = tuple(Check(v, f"Something holds {v}", v, "seen", "do this") for v in verdicts)
    broken = dataclasses.replace(checks[2], group="integrity")
    return {
        "demo": render_html(demo),
        "upper bound": render_html([make_record(checks=checks), make_record("<b>other</b>")]),
        "refused": render_html([make_record(checks=(broken,))]),
        "clean": render_html([dataclasses.replace(r, measurements=r.measurements[:1]) for r in [make_record()]]),
        "study": write_study_report(study).with_name("report.html").read_text(encoding="utf-8"),
        "transfer": render_transfer_html(transfer_record),
        "contact sheet": contact_sheet(),
    }


def contact_sheet():
    """Two photographs at three radii: one attacked and fooled, one changed by chance."""
    dot = "data:image/gif;base64,R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs="
    rows = [ContactRow("1.jpg", "crane", tuple(ContactCell(dot, fooled) for fooled in (False, False, True)))]
    rows += [ContactRow("a-name-without-any-space-in-it-" * 4, "heron", (ContactCell(dot),) * 3)]
    return render_contact_page("photos", "Changed by PGD.", (0, 4, 16), rows, 144)


def visit(browser, html, **options):
    """Open a page that may ask nothing of anybody, with everything unfolded; return it and what it asked for."""
    context = browser.new_context(**options)
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_content(html)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    return page, [url for url in asked if not url.startswith(("data:", "about:"))]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, axe, pages, scheme):
    found = {}
    for name, html in pages.items():
        page, _ = visit(browser, html, color_scheme=scheme)
        page.evaluate(axe)
        result = page.evaluate("axe.run({resultTypes: ['violations']})")
        for violation in result["violations"]:
            nodes = [node["html"][:120] + " | " + node["failureSummary"] for node in violation["nodes"][:3]]
            found[f"{name}: {violation['id']} ({len(violation['nodes'])})"] = nodes
        assert len(result["passes"]) > 10
        page.context.close()
    assert found == {}


def test_a_page_asks_nothing_of_anybody_and_runs_nothing(browser, pages):
    for html in pages.values():
        page, asked = visit(browser, html)
        assert asked == []
        assert page.evaluate("document.scripts.length") == 0
        assert page.evaluate("[...document.querySelectorAll('[href^=http],[src^=http]')].length") == 0
        page.context.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_sticks_out_sideways(browser, pages, width):
    for name, html in pages.items():
        page, _ = visit(browser, html, viewport={"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        page.context.close()


def test_it_prints_dark_on_white_even_from_a_dark_screen(browser, pages):
    page, _ = visit(browser, pages["demo"], color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 26)"
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.pdf().startswith(b"%PDF")
    page.context.close()


def test_every_figure_has_its_numbers_beside_it(browser, pages):
    for name, html in pages.items():
        page, _ = visit(browser, html)
        bare = page.evaluate(
            """[...document.querySelectorAll('svg[role=img]')]
               .filter(f => !f.closest('figure, section')?.querySelector('table') &&
                            !f.closest('section')?.querySelector('table'))
               .map(f => f.querySelector('title').textContent)"""
        )
        assert bare == [], name
        page.context.close()


def test_a_reader_with_a_keyboard_reaches_every_table_that_scrolls(browser, pages):
    page, _ = visit(browser, pages["demo"], viewport={"width": 360, "height": 800})
    stuck = (
        "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth && e.tabIndex < 0).length"
    )
    assert page.evaluate(stuck) == 0
    page.context.close()
