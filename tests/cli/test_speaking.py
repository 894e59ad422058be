import logging
import warnings

import pytest

from robustpeft.cli.loudness import Loudness, loudness
from robustpeft.cli.speaking import speaking


def test_the_library_is_heard_and_others_are_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own; a command begins without any
    with speaking():
        logging.getLogger("robustpeft.backbones").info("the head %s", "is new")
        logging.getLogger("robustpeft").warning("look here")
        logging.getLogger("robustpeft").debug("unheard")
        logging.getLogger("timm.models").warning("unheard")
        warnings.warn("unheard", DeprecationWarning, stacklevel=1)
    assert capsys.readouterr().err == "note: the head is new\nwarning: look here\n"


def test_afterwards_logging_is_as_it_was() -> None:
    ours, root = logging.getLogger("robustpeft"), logging.getLogger()
    before = (list(ours.handlers), ours.level, list(root.handlers))
    with pytest.raises(ValueError, match="bug"), speaking():
        raise ValueError("bug")
    assert (list(ours.handlers), ours.level, list(root.handlers)) == before


def test_quiet_leaves_warnings_and_verbose_lets_all_speak(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    for level, expected in (
        (Loudness.QUIET, ["warning: look"]),
        (Loudness.NORMAL, ["note: a", "warning: look"]),
        (Loudness.VERBOSE, ["note: a", "warning: look", "note: fine", "note: timm.models: theirs", "warning: "]),
    ):
        with speaking(level):
            assert loudness() is level
            logging.getLogger("robustpeft").info("a")
            logging.getLogger("robustpeft").warning("look")
            logging.getLogger("robustpeft").debug("fine")
            logging.getLogger("timm.models").info("theirs")
            warnings.warn("python's", DeprecationWarning, stacklevel=1)
        said = capsys.readouterr().err.splitlines()
        assert [line for line in expected if not any(heard.startswith(line) for heard in said)] == []
        assert ("note: a" in said) == (level is not Loudness.QUIET)
        assert any("python's" in line for line in said) == (level is Loudness.VERBOSE)
    assert loudness() is Loudness.NORMAL


def test_what_is_said_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    with speaking():
        logging.getLogger("robustpeft").warning("class \x1b[2J")
    assert capsys.readouterr().err == "warning: class ?[2J\n"
