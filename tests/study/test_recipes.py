"""The recipes that ship with the package."""

from pathlib import Path

import pytest

from robustpeft.study import dump_recipe, read_recipe, shipped_recipes

NAMES = sorted(shipped_recipes())


def test_the_recipes_of_the_readme_are_there() -> None:
    papers = {"mo2022", "eps-sched", "roli", "fulllora-cifar10", "fulllora-cifar100", "fulllora-imagenette"}
    assert papers <= set(NAMES)
    expected = {"full-digits", "fulllora-digits", "fulllora-folder", "fulllora-imagenette-cpu", "lora-digits"}
    assert expected <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_reading_what_was_dumped_gives_the_same_recipe(name: str, tmp_path: Path) -> None:
    recipe = read_recipe(name)
    (tmp_path / "dumped.yaml").write_text(dump_recipe(recipe))
    assert read_recipe(str(tmp_path / "dumped.yaml")) == recipe


@pytest.mark.parametrize("name", NAMES)
def test_the_header_says_what_for_from_where_how_and_what_was_measured(name: str) -> None:
    header = [line for line in shipped_recipes()[name].read_text().splitlines() if line.startswith("#")]
    for word in ("Purpose", "Source", "Command", "Measured"):
        assert [line for line in header if line.startswith(f"# {word}: ") and len(line) > len(word) + 8], word
    assert f"robustpeft tune {name}" in "\n".join(header)


@pytest.mark.parametrize("name", NAMES)
def test_the_command_of_the_header_can_be_typed(name: str) -> None:
    lines = shipped_recipes()[name].read_text().splitlines()
    command = next(line for line in lines if line.startswith("# Command: ")).removeprefix("# Command: ").split()
    assert command[:3] == ["robustpeft", "tune", name]
    read_recipe(name, [word for word in command[3:] if not word.startswith("--")])


def test_adversarial_recipes_for_digits_share_threat_and_schedule() -> None:
    full, fulllora = read_recipe("full-digits"), read_recipe("fulllora-digits")
    assert (full.threat, full.objective, full.training.epochs) == (
        fulllora.threat,
        fulllora.objective,
        fulllora.training.epochs,
    )
    assert full.threat.epsilon == 0.1
