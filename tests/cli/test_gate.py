from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def audited(place: Any, type_in: Callable[..., Any]) -> Any:
    ended = type_in("audit", place.run(), "--device", "cpu")
    assert ended.status == 0, ended.err
    return place.path / "run" / "audit" / "lora"


@pytest.mark.parametrize(
    ("policy", "status", "said"),
    [
        ("{images: 1, max_age_days: 1, sealed: true}", 0, "Passes: 3 demands are met."),
        ("{images: 1000}", 1, "Fails: images."),
        ("robust_accuracy: [{norm: l2, epsilon: 0.5, at_least: 0.1}]", 2, "Cannot be judged: robust accuracy"),
    ],
)
def test_the_status_says_what_came_of_it(
    audited: Any, place: Any, type_in: Callable[..., Any], policy: str, status: int, said: str
) -> None:
    ended = type_in("gate", audited, place.write("policy.yaml", policy))
    assert (ended.status, ended.err) == (status, "")
    assert said in ended.out


def test_a_policy_with_an_unknown_key_is_bad_input(audited: Any, place: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in("gate", audited, place.write("policy.yaml", "image: 1"))
    assert ended.status == 2
    assert "unknown key 'image'; did you mean 'images'?" in ended.err
