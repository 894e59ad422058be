"""The recipes that ship with the package."""

from pathlib import Path

import pytest

from robustpeft.attacks import PGD
from robustpeft.backbones import Backbone
from robustpeft.objectives import PgdAt
from robustpeft.pet import LoRA
from robustpeft.study import Recipe, dump_recipe, read_recipe, shipped_recipes
from robustpeft.study.recipe import with_settings

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


@pytest.mark.parametrize("turned", [False, True])
def test_the_order_of_overrides_does_not_matter(turned: bool) -> None:
    said = ["method.r=3", "method.name=lora", "backbone.weights=W", "backbone.name=vit_tiny_patch16_224"]
    said += ["objective.attack.steps=7", "objective={name: pgd_at, attack: {name: pgd, steps: 2}}"]
    recipe = read_recipe("fulllora-digits", said[::-1] if turned else said)
    assert recipe.method == LoRA(r=3)
    assert (recipe.backbone.name, recipe.backbone.weights) == ("vit_tiny_patch16_224", "W")
    assert isinstance(recipe.objective, PgdAt)
    assert isinstance(recipe.objective.attack, PGD)
    assert recipe.objective.attack.steps == 7


def test_another_network_sees_the_images_as_the_recipe_does_but_keeps_no_weights_of_the_former() -> None:
    said = ["backbone.weights=W", "backbone.mean=[0.1, 0.1, 0.1]"]
    before = with_settings(read_recipe("fulllora-cifar10", said), {"backbone.num_classes": 7}).backbone
    after = with_settings(Recipe(backbone=before), {"backbone.name": "vit_tiny_patch16_224"}).backbone
    assert (before.image_size, before.patch_size, before.weights, before.num_classes) == (32, 4, "W", 7)
    assert after == Backbone("vit_tiny_patch16_224", image_size=32, patch_size=4)


def test_of_one_override_given_twice_the_last_counts() -> None:
    assert read_recipe("fulllora-digits", ["seed=1", "method.r=2", "seed=5"]).seed == 5
