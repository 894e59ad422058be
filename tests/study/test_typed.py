import pytest

from robustpeft.study.typed import typed_command, typed_words


@pytest.mark.parametrize(
    "program",
    ["/opt/bin/robustpeft", "robustpeft.exe", "/lib/robustpeft/__main__.py", "/lib/robustpeft/cli/__main__.py"],
)
def test_what_was_typed_can_be_typed_again(monkeypatch, program):
    monkeypatch.setattr("sys.argv", [program, "audit", "my runs/a", "--epsilons", "1/255"])
    assert typed_words() == ("audit", "my runs/a", "--epsilons", "1/255")
    assert typed_command() == "robustpeft audit 'my runs/a' --epsilons 1/255"
    assert typed_command(["--class-order", "data"]).endswith("1/255 --class-order data")


@pytest.mark.parametrize("argv", [["train.py", "audit"], ["/lib/pytest/__main__.py", "audit"], [""], []])
def test_a_program_of_ones_own_typed_nothing(monkeypatch, argv):
    monkeypatch.setattr("sys.argv", argv)
    assert (typed_words(), typed_command(["--seed"])) == ((), "")
