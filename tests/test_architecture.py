"""The habits of the sources that no linter knows."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "src" / "robustpeft"
TESTS = ROOT / "tests"
MODULES = sorted(SOURCES.rglob("*.py"))
ROOMS = sorted(path.parent for path in SOURCES.glob("*/__init__.py"))
LONGEST = 300
LARGEST = 2_000_000

# Tests of the whole rather than of one file. The contract suites run over every entry of a table.
OF_THE_WHOLE = {
    "test_architecture.py",
    "test_docs.py",
    "test_docs_commands.py",
    "test_public_names.py",
    "test_security.py",
}
SUITES = {"browser", "contracts"}


def relative(path):
    return path.relative_to(ROOT).as_posix()


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def docstring(path):
    return ast.get_docstring(tree(path)) or ""


def test_a_file_holds_one_thought_or_says_why_it_is_longer():
    long = [path for path in MODULES if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST]
    assert [relative(path) for path in long if f"longer than {LONGEST} lines" not in docstring(path).lower()] == []


def test_no_module_is_a_drawer_for_everything():
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "core"}
    assert [relative(p) for p in MODULES if drawers & {p.stem, p.parent.name}] == []


@pytest.mark.parametrize("room", ROOMS, ids=relative)
def test_a_room_begins_with_its_question(room):
    assert re.match(r"[A-Z][^.!?]*\?", docstring(room / "__init__.py"))


def test_every_module_says_what_it_is_for():
    assert [relative(path) for path in MODULES if not docstring(path)] == []


def test_every_test_file_mirrors_a_source_file():
    orphans = []
    for path in TESTS.rglob("test_*.py"):
        room = path.relative_to(TESTS).parent
        words = path.stem.removeprefix("test_").split("_")
        # test_driver_models.py may ask another thing of driver.py than test_driver.py does.
        sources = [SOURCES / room / "_".join(words[:count]) for count in range(1, len(words) + 1)]
        is_room_itself = path.stem == f"test_{room.name}" and (SOURCES / room / "__init__.py").is_file()
        of_the_whole = path.parent == TESTS and path.name in OF_THE_WHOLE
        mirrors = any(source.with_suffix(".py").is_file() for source in sources) or sources[-1].is_dir()
        if not (mirrors or is_room_itself or of_the_whole or room.name in SUITES):
            orphans.append(relative(path))
    assert orphans == []


def test_the_library_prints_nothing_outside_the_command_line():
    printing = []
    for path in MODULES:
        calls = (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call))
        if SOURCES / "cli" not in path.parents and any(getattr(call.func, "id", "") == "print" for call in calls):
            printing.append(relative(path))
    assert printing == []


def test_nothing_that_ships_is_large():
    files = (path for path in SOURCES.rglob("*") if path.is_file())
    assert [relative(path) for path in files if path.stat().st_size > LARGEST] == []
