import json
from collections.abc import Callable
from typing import Any

import pytest

from robustpeft.study import doctor as room
from robustpeft.study.doctor.finding import bad, good, warn


@pytest.mark.parametrize(
    ("finding", "status"), [(good("a", "b"), 0), (warn("a", "b", "c"), 0), (bad("a", "b", "c"), 1)]
)
def test_the_status_says_whether_something_is_broken(
    finding: Any, status: int, type_in: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "examine", lambda: (good("x", "y"), finding))
    assert type_in("doctor").status == status
    ended = type_in("doctor", "--json")
    assert ended.status == status
    assert json.loads(ended.out)[1] == {"topic": "a", "verdict": finding.verdict, "text": "b", "remedy": finding.remedy}


def test_a_remedy_is_shown_below_what_it_mends(type_in: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "examine", lambda: (bad("disk", "it is full", "make room"),))
    assert type_in("doctor").out == "BROKEN  disk: it is full\n        -> make room\n"
