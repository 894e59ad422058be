from pathlib import Path

import pytest

from robustpeft.backbones import Backbone
from robustpeft.data.folder_scan import FolderContent, FoundImage
from robustpeft.data.survey import Survey
from robustpeft.study.photographs.choice import Conditions, choose
from robustpeft.study.photographs.network import Network

NETWORK = Network(Backbone("vit_tiny_patch16_224", image_size=224), "the smallest ViT")


def folder(count, splits=("",)):
    images = tuple(FoundImage(f"{s}/{c}/{i}", c, s) for s in splits for c in "ab" for i in range(count // 2))
    return Survey(Path("photos"), FolderContent(("a", "b"), images, ()), (), (), ())


def chosen(count=1000, minutes=60.0, pace=0.01, hardware="cpu", **more):
    return choose(folder(count, **more), NETWORK, Conditions(hardware, minutes, pace, 4 / 255))


@pytest.mark.parametrize("minutes", [5, 20, 60, 240, 1000])
def test_what_is_chosen_fits_into_the_time_or_says_why_not(minutes):
    choice = chosen(minutes=minutes)
    training, steps = choice.recipe.training, choice.recipe.objective.attack.steps
    used = training.train_images or 650
    looking = training.validations * min(training.selection_images, 150) * (training.selection_attack.steps + 1)
    assert choice.minutes == pytest.approx(1.25 * (used * training.epochs * (steps + 1) + looking) * 0.01 / 60)
    assert choice.minutes <= minutes


@pytest.mark.parametrize("minutes", [3, 5, 10, 30])
def test_looking_takes_less_than_learning(minutes):
    training = chosen(count=400, minutes=minutes, pace=0.13).recipe.training
    looking = training.validations * training.selection_images * (training.selection_attack.steps + 1)
    assert looking < 0.5 * (training.train_images or 260) * training.epochs * 3


def test_more_time_never_gives_less_adversary():
    found = [chosen(minutes=minutes) for minutes in (1, 5, 10, 20, 40, 80, 160, 320, 640)]
    work = [c.minutes for c in found]
    steps = [c.recipe.objective.attack.steps for c in found]
    assert work == sorted(work)
    assert steps == sorted(steps)
    assert steps[0] < steps[-1]


def test_where_even_the_least_does_not_fit_it_is_said():
    choice = chosen(minutes=0.01)
    assert choice.recipe.training.train_images == 64
    assert choice.minutes > 0.01
    assert "fewer would teach nothing" in choice.reasons["training.train_images"]


def test_without_a_clock_nothing_is_promised():
    choice = chosen(pace=None, hardware="cuda")
    assert choice.minutes is None
    assert "not timed" in choice.reasons["objective.attack"]
    assert choice.recipe.training.train_images is None
    assert choice.recipe.training.precision == "auto"


def test_the_owners_split_says_how_many_are_learnt_from():
    assert chosen(1000, splits=("train", "validation", "test"), minutes=1e6).minutes == pytest.approx(
        1.25 * (1000 * 20 * 11 + 5 * 100 * 6) * 0.01 / 60
    )


def test_the_audit_looks_at_the_epsilon_that_was_chosen():
    recipe = chosen().recipe
    assert recipe.threat.epsilon == recipe.audit.epsilons[-1] == 4 / 255
