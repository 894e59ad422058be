"""The documentation says what the code does, and leads somewhere."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


def relative(path):
    return path.relative_to(ROOT).as_posix()


def links(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text)
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(page):
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "scripts" / "generate_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_relative_link_leads_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = page if not path else page.parent / path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_generated_parts_are_fresh(generate, capsys):
    assert generate.main(["--check"]) == 0, capsys.readouterr().out


def test_everything_that_can_be_generated_is_shown_once(generate):
    shown = [m["name"] for page in PAGES for m in generate.MARKED.finditer(page.read_text(encoding="utf-8"))]
    assert sorted(shown) == sorted(generate.RENDERERS)


def test_only_what_stands_between_markers_is_replaced(generate):
    page = "before\n<!-- generated:a -->\nold\n<!-- /generated:a -->\nbetween\n"
    new = "before\n<!-- generated:a -->\n\nnew\n\n<!-- /generated:a -->\nbetween\n"
    assert generate.fill(page, {"a": lambda: "new"}) == new
    assert generate.fill(new, {"a": lambda: "new"}) == new


def test_a_marker_that_names_nothing_is_an_error(generate):
    with pytest.raises(KeyError, match="b"):
        generate.fill("<!-- generated:b -->\n<!-- /generated:b -->", {"a": str})


def test_bars_within_cells_do_not_break_a_table(generate):
    assert generate.markdown_table(["x"], [["a | b"]]) == "| x |\n| --- |\n| a \\| b |"


def test_every_decision_that_the_sources_quote_exists_and_is_listed():
    numbers = [path.name[:4] for path in DECISIONS]
    assert numbers == [f"{i:04d}" for i in range(1, len(numbers) + 1)]
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    assert set(re.findall(r"docs/decisions/(\d{4})", sources)) <= set(numbers)
    listed = links(ROOT / "docs" / "decisions" / "README.md")
    assert sorted(link for link in listed if link[:4].isdigit()) == [path.name for path in DECISIONS]


@pytest.mark.parametrize("path", DECISIONS, ids=relative)
def test_a_decision_has_its_five_parts_on_half_a_page(path):
    text = path.read_text(encoding="utf-8")
    parts = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert parts == ["Context", "Decision", "Rejected", "Consequences", "Evidence"]
    assert len(text.split()) <= 400


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "choose.html").is_file()
