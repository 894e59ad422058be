import logging
import warnings

import pytest

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
