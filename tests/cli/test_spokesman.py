import pytest

from robustpeft.cli.spokesman import is_spokesman


@pytest.mark.parametrize(
    ("variables", "answer"),
    [
        ({}, True),
        ({"RANK": "1"}, True),
        ({"WORLD_SIZE": "2", "RANK": "0"}, True),
        ({"WORLD_SIZE": "2", "RANK": "1"}, False),
    ],
)
def test_one_process_of_several_speaks(
    variables: dict[str, str], answer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_spokesman() is answer
