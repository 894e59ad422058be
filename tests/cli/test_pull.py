from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")  # of the hub's own client


@pytest.fixture
def pushed(place: Any, hub: Any, type_in: Callable[..., Any]) -> Any:
    assert type_in("push", place.run(), "ann/cats").status == 0
    return hub


def test_it_lists_what_came_and_where_it_lies(pushed: Any, place: Any, type_in: Callable[..., Any]) -> None:
    offered = type_in("pull", "ann/cats", "--dry-run")
    assert offered.out.splitlines()[-1] == "dry run: nothing was fetched from ann/cats"
    assert not (place.path / "runs").exists()
    ended = type_in("pull", "ann/cats")
    assert ended.status == 0
    commit = pushed.repos["ann/cats"].branches["main"]
    assert ended.out.splitlines()[-1] == f"pulled at {commit[:12]}: runs/cats"
    assert ended.out.splitlines()[:-1] == offered.out.splitlines()[:-1]
    assert type_in("predict", "runs/cats", "photos", "--device", "cpu").status == 0
    refused = type_in("pull", "ann/cats", "runs/cats")
    assert refused.status == 2
    assert "runs/cats is not empty" in refused.err
    assert type_in("pull", "ann/cats", "--overwrite", "--revision", commit).status == 0


def test_a_model_of_the_hub_predicts_without_a_directory_of_its_own(
    pushed: Any, place: Any, type_in: Callable[..., Any]
) -> None:
    assert type_in("predict", "ann/cats", "photos", "-o", "there.csv", "--device", "cpu").status == 0
    assert type_in("predict", "run", "photos", "-o", "here.csv", "--device", "cpu").status == 0
    assert (place.path / "there.csv").read_text() == (place.path / "here.csv").read_text()


def test_what_is_not_there_is_one_message(pushed: Any, type_in: Callable[..., Any]) -> None:
    for arguments in (
        ("pull", "ann/dogs"),
        ("pull", "ann/dogs", "--dry-run"),
        ("export", "ann/dogs", "--to", "m.onnx"),
    ):
        ended = type_in(*arguments)
        assert (ended.status, ended.out) == (2, "")
        assert "has no model ann/dogs that may be read from here" in ended.err
