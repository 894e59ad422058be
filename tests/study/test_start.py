import shutil

import pytest
import torch

import robustpeft as rp
from robustpeft.errors import UserError
from robustpeft.study import read_recipe, tune_recipe
from robustpeft.study.start import start_from

QUICK = ["training.epochs=1", "training.batch_size=100", "training.train_images=100", "training.selection_images=20"]
PLAN = rp.TrainingPlan(epochs=1, batch_size=50, learning_rate=1e-3, selection_attack=rp.PGD(steps=1))


@pytest.fixture(scope="module")
def natural(digits, tmp_path_factory):
    output = tmp_path_factory.mktemp("start") / "natural"
    return rp.tune(
        rp.load_backbone("digits_vit"), digits, method=rp.Full(), objective=rp.Natural(), training=PLAN, output=output
    )


def images(digits):
    return next(digits.test.batches(16)).images


def test_the_frozen_network_answers_as_the_tuned_one(natural, digits):
    model = rp.load_backbone("digits_vit")
    start_from(model, natural.path)
    with torch.no_grad():
        assert torch.equal(model(images(digits)), natural.model(images(digits)))
    assert model.trained_ids == natural.model.trained_ids


def test_a_low_rank_branch_is_folded_in(tune_digits, digits, tmp_path):
    lora = tune_digits(tmp_path / "lora", method=rp.LoRA(r=2), objective=rp.Natural())
    model = rp.load_backbone("digits_vit")
    start_from(model, lora.path)
    with torch.no_grad():
        torch.testing.assert_close(model(images(digits)), lora.model(images(digits)), rtol=1e-4, atol=1e-4)


def test_what_cannot_be_folded_is_said(run):
    with pytest.raises(UserError, match="cannot be folded into the weights"):
        start_from(rp.load_backbone("digits_vit"), run.path)  # FullLoRA


def test_a_run_from_a_run_loads_without_it_and_says_where_it_came_from(natural, digits, tmp_path):
    first = tmp_path / "natural"
    shutil.copytree(natural.path, first)
    recipe = read_recipe("lora-digits", [*QUICK, f"start={first}"])
    second = tune_recipe(recipe, tmp_path / "second", device="cpu")
    assert second.tuning["start"] == str(first)
    shutil.rmtree(first)
    again = rp.load(second.path)
    with torch.no_grad(), second.model.disabled():
        frozen = second.model(images(digits))
        assert torch.equal(frozen, natural.model(images(digits)))
    with torch.no_grad():
        assert torch.equal(again(images(digits)), second.model(images(digits)))
    assert again.trained_ids >= natural.model.trained_ids
