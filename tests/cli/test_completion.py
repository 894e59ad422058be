"""What the Tab key offers is what the tables hold, without importing them."""

import os
import subprocess
import sys

import pytest

import robustpeft as rp
from robustpeft.cli import completion
from robustpeft.study import shipped_recipes
from robustpeft.study.grid.study_file import shipped_studies
from robustpeft.study.profiles import PROFILES


@pytest.mark.parametrize(
    ("file", "table", "real"),
    [
        ("pet/__init__.py", "METHODS", rp.METHODS),
        ("objectives/__init__.py", "OBJECTIVES", rp.OBJECTIVES),
        ("attacks/__init__.py", "ATTACKS", rp.ATTACKS),
        ("data/loading.py", "DATASETS", rp.DATASETS),
        ("study/profiles.py", "PROFILES", PROFILES),
    ],
)
def test_names_are_those_of_the_real_table(file, table, real):
    assert completion.names_in(file, table) == tuple(real)


def test_recipes_and_studies_are_the_shipped_ones():
    assert completion.recipes("") == sorted(shipped_recipes())
    assert set(shipped_studies()) <= set(completion.studies(""))
    assert completion.studies("ret") == ["retry"]


@pytest.mark.parametrize(
    ("before", "word", "expected"),
    [
        ([], "method=fullor", []),
        ([], "method=full", ["method=full", "method=fulllora"]),
        (["tune", "x", "method", "="], "lnl", ["lnlora"]),
        (["tune", "x", "objective"], "=", list(rp.OBJECTIVES)),
        ([], "objective.attack=pg", ["objective.attack=pgd"]),
        ([], "training.ep", ["training.epochs="]),
        ([], "nothing", []),
    ],
)
def test_overrides_complete_keys_and_names(before, word, expected):
    assert completion.settings(before, word) == expected


def complete(words: str) -> tuple[list[str], list[str]]:
    """Ask as bash does; return what is offered and which heavy packages that took."""
    code = (
        "import sys\nfrom robustpeft.cli.__main__ import main\n"
        "try:\n    main()\nfinally:\n"
        "    print([n for n in ('torch', 'timm', 'numpy') if n in sys.modules], file=sys.stderr)\n"
    )
    asked = {"_ROBUSTPEFT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True, check=False
    )
    return ended.stdout.split(), ended.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("robustpeft tune full", [name for name in sorted(shipped_recipes()) if name.startswith("full")]),
        ("robustpeft list me", ["methods"]),
        ("robustpeft audit x --profile st", ["standard"]),
        ("robustpeft doc", ["doctor"]),
    ],
)
def test_bash_is_answered_at_once(words, expected):
    offered, loaded = complete(words)
    assert offered == expected
    assert loaded == "[]"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_every_shell(shell):
    ended = subprocess.run(
        [sys.executable, "-m", "robustpeft"],
        env=os.environ | {"_ROBUSTPEFT_COMPLETE": f"source_{shell}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "_ROBUSTPEFT_COMPLETE" in ended.stdout
