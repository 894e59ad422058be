"""Which words of a text tell of the machine it was written on? Absolute paths: what is shared keeps their last part."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

__all__ = ["find_path", "without_paths"]

_PART = r"[^\s/\\\"'`<>|,;()\[\]{}]+"
_WHOLE = re.compile(r"(?:file://)?(?:/|~[\w.-]*/|\\\\|[A-Za-z]:[\\/])[^\n]*")
_WITHIN = re.compile(
    rf"(?<![\w./:~%<*\\-])(?:(?:file://|~[\w.-]*)?/{_PART}(?:/{_PART})+/?|~[\w.-]*/{_PART}"
    rf"|[A-Za-z]:[\\/]{_PART}(?:[\\/]{_PART})*|\\\\{_PART}(?:\\{_PART})+)|(?<==)/{_PART}(?:/{_PART})+/?"
)
_CLASSES = "classes"


def find_path(text: str) -> str | None:
    """Return the first absolute path in a text; None if there is none. Addresses such as ``https://a/b`` are none."""
    for known in _known():
        if known in text:
            return known
    found = _WITHIN.search(text)
    return found[0] if found else None


def without_paths(value: Any) -> Any:
    """Return plain data or a text with every absolute path in it cut down to its last part.

    Names of classes stay as they are: they mean what the model answers.
    """
    if isinstance(value, dict):
        return {key: item if key == _CLASSES else without_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(item) for item in value]
    return _cut(value) if isinstance(value, str) else value


def _cut(text: str) -> str:
    if _WHOLE.fullmatch(text):
        return _last(text)
    for known in _known():
        text = re.sub(re.escape(known) + r"(?:[/\\][^\s\"'`]*)?", lambda found: _last(found[0]), text)
    return _WITHIN.sub(lambda found: _last(found[0]), text)


def _last(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1].removeprefix("file:") or "."


def _known() -> list[str]:
    """Return the places of this session; what has but one part, such as ``/root``, is too short to be sought."""
    places = {str(place) for place in (Path.home(), Path.cwd(), Path.cwd().resolve()) if len(place.parts) > 2}
    return sorted(places, key=len, reverse=True)
