"""The names that users import, and what importing them costs."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import robustpeft

PACKAGE = Path(robustpeft.__file__).parent
STUB = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
NAMES = sorted(alias.asname for node in STUB.body if isinstance(node, ast.ImportFrom) for alias in node.names)


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_the_stub_can_be_imported(name):
    assert not inspect.ismodule(getattr(robustpeft, name))


def test_dir_shows_the_public_names_and_nothing_else():
    assert set(dir(robustpeft)) == set(NAMES) == set(robustpeft.__all__)


def test_no_room_shares_its_name_with_a_public_name():
    """Importing a room sets it on the package, and would hide a function of the same name."""
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms & set(NAMES) == set()


def test_a_wrong_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="FulLoRA"):
        _ = robustpeft.FulLoRA


@pytest.mark.parametrize("module", ["robustpeft", "robustpeft.errors", "robustpeft.records", "robustpeft.report"])
def test_importing_what_needs_no_torch_imports_no_torch(module):
    heavy = ("torch", "torchvision", "timm", "sklearn", "pyarrow")
    done = run_python(f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])")
    assert done.stderr == ""
    assert done.stdout.strip() == "[]"
