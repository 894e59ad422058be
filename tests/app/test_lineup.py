import pytest
import torch

from robustpeft.app.lineup import UNDEFENDED_CHOICE, Lineup
from robustpeft.app.lookup import find_runs
from robustpeft.app.settings import Settings
from robustpeft.errors import UserError
from robustpeft.study import load
from robustpeft.study.undefended import load_undefended


@pytest.fixture(scope="module")
def lineup(runs):
    ((found),) = find_runs((), [runs]).families.values()
    return Lineup(found, Settings(folders=(runs,), data="digits", device="cpu"))


@pytest.fixture(scope="module")
def images(digits):
    return next(digits.test.batches(8)).images


def test_the_undefended_backbone_comes_first(lineup):
    assert lineup.labels == (UNDEFENDED_CHOICE, "plain (lora)", "robust (fulllora), Linf 0.05")


@pytest.mark.parametrize(("place", "name"), [(1, "plain"), (2, "robust")])
def test_models_answer_as_they_do_alone(lineup, images, runs, place, name):
    with torch.no_grad():
        assert torch.equal(lineup.model(lineup.labels[place])(images), load(runs / name)(images))


def test_the_undefended_one_too(lineup, images, runs, digits):
    with torch.no_grad():
        expected = load_undefended(runs / "plain", digits)[1](images)
        assert torch.equal(lineup.model(UNDEFENDED_CHOICE)(images), expected)


def test_they_share_the_frozen_weights(lineup):
    models = [lineup.model(label) for label in lineup.labels]
    places = [{p.data_ptr() for p in model.parameters()} for model in models]
    common = set.intersection(*places)
    assert len(common) > len(places[0]) // 2
    assert lineup.model(lineup.labels[1]) is models[1]


def test_what_they_take(lineup):
    assert lineup.image_size == (16, 16)
    assert lineup.classes == tuple("0123456789")
    assert 16 % lineup.patch_size == 0
    assert lineup.images.name == "digits"


def test_a_label_that_is_none_is_refused(lineup):
    with pytest.raises(UserError, match=r"there is no model '\.\./x' here"):
        lineup.model("../x")


def test_without_data_the_models_are_there_and_the_examples_are_not(runs, images):
    ((found),) = find_runs((), [runs]).families.values()
    lineup = Lineup(found, Settings(folders=(runs,), device="cpu"))  # tuned without a recipe: nobody knows on what
    with torch.no_grad():
        assert lineup.model(UNDEFENDED_CHOICE)(images).shape == (8, 10)
    with pytest.raises(UserError, match="say which with --data"):
        _ = lineup.images
