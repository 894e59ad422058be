import dataclasses
import json

import pytest
import torch

import robustpeft as rp
from robustpeft.errors import UserError
from robustpeft.study import read_recipe, tune_recipe
from robustpeft.study.find_learning_rate import find_rate_of

QUICK = rp.TrainingPlan(epochs=2, batch_size=50, validations=1, selection_attack=rp.PGD(steps=1))
RECIPE = [
    "training.epochs=2",
    "training.batch_size=100",
    "training.train_images=100",
    "training.validations=1",
    "training.selection_images=20",
]


def test_the_model_comes_back_as_it_was_and_the_trials_differ(digits, tmp_path):
    model = rp.load_backbone("digits_vit")
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    found = rp.find_learning_rate(
        model,
        digits,
        output=tmp_path,
        method=rp.LoRA(r=2),
        objective=rp.Natural(),
        training=QUICK,
        rates=(1e-6, 0.3),
        share=0.5,
    )
    assert model.attachments == []
    assert all(torch.equal(before[name], tensor) for name, tensor in model.network.state_dict().items())
    assert [t.epochs for t in found.trials] == [1, 1]
    assert found.trials[0].validation_clean > found.trials[1].validation_clean  # 0.3 destroys what was learned
    assert (found.chosen, found.edge) == (1e-6, True)


def test_a_recipe_is_tuned_with_the_rate_that_was_found(tmp_path, monkeypatch):
    monkeypatch.setattr(find_rate_of, "__kwdefaults__", KWDEFAULTS)
    seen = set()
    run = tune_recipe(
        read_recipe("lora-digits", RECIPE),
        tmp_path / "run",
        find_rate=True,
        device="cpu",
        observer=lambda progress: seen.add(progress.phase),
    )
    said = json.loads((tmp_path / "run" / "learning_rates.json").read_text())
    assert run.tuning["training"]["learning_rate"] == said["chosen"]
    assert run.tuning["rate_search"].startswith("the best of 2 trials")
    assert read_recipe(str(run.path / "recipe.yaml")).training.learning_rate == said["chosen"]
    assert seen == {"learning rate 0.001", "learning rate 0.3", ""}
    assert rp.load(run.path).tuning["rate_search"] == run.tuning["rate_search"]


KWDEFAULTS = {"rates": (1e-3, 0.3), "share": 0.5, "observer": None}


def test_a_method_that_cannot_be_attached_deletes_nothing(tmp_path):
    recipe = read_recipe("lora-digits", RECIPE)
    run = tmp_path / "run"
    run.mkdir()
    (run / ".robustpeft").touch()
    (run / "kept.txt").touch()
    wrong = dataclasses.replace(recipe, method=rp.FullLoRA(r=1000))
    with pytest.raises(UserError):
        tune_recipe(wrong, run, find_rate=True, overwrite=True, device="cpu")
    assert (run / "kept.txt").exists()
