import dataclasses

import pytest
import torch

import robustpeft as rp
from robustpeft.errors import UserError
from robustpeft.pet import LinearProbe
from robustpeft.study import read_recipe, tune_recipe

QUICK = ["training.epochs=1", "training.batch_size=200", "training.validations=1", "training.selection_images=20"]


def test_the_frozen_weights_are_bit_identical_after_tuning(run):
    fresh = rp.load_backbone("digits_vit").network.state_dict()
    tuned = run.model.frozen_state()
    assert fresh.keys() == tuned.keys()
    frozen = [name for name in fresh if not name.startswith("head.")]
    assert all(torch.equal(fresh[name], tuned[name]) for name in frozen)
    assert not torch.equal(fresh["head.weight"], tuned["head.weight"])


def test_switching_the_adapter_off_gives_back_the_model_from_before(run, digits):
    images = next(digits.test.batches(16)).images
    with torch.no_grad(), run.model.disabled():
        assert torch.equal(run.model(images), rp.load_backbone("digits_vit")(images))


def test_a_failed_run_leaves_the_model_as_it_was(digits, tmp_path):
    model = rp.load_backbone("digits_vit")
    images = next(digits.test.batches(16)).images
    before = model(images)

    def stop(progress):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        rp.tune(model, digits, output=tmp_path / "run", observer=stop)
    assert model.attachments == []
    assert torch.equal(model(images), before)


def test_a_plan_that_cannot_be_carried_out_leaves_the_model_as_it_was(digits, tmp_path):
    model = rp.load_backbone("digits_vit")
    with pytest.raises(UserError, match="cannot take 0 images"):
        rp.tune(model, digits, training=rp.TrainingPlan(train_images=0), output=tmp_path / "run")
    assert model.attachments == []


def test_a_class_count_mismatch_is_said_before_anything_runs(digits, tmp_path):
    with pytest.raises(UserError, match=r"answers with 7 classes, digits has 10; .*num_classes=10"):
        rp.tune(rp.load_backbone("digits_vit", num_classes=7), digits, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_plain_module_is_told_to_be_wrapped(digits, tmp_path):
    with pytest.raises(UserError, match=r"rp\.wrap"):
        rp.tune(torch.nn.Identity(), digits, output=tmp_path / "run")


def test_natural_tuning_names_no_threat(tune_digits, tmp_path):
    run = tune_digits(tmp_path / "run", objective=rp.Natural(), method=LinearProbe())
    assert run.model.threat is None
    assert rp.load(run.path).threat is None


def test_a_recipe_leaves_itself_resolved_beside_the_run(tmp_path):
    recipe = read_recipe("lora-digits", QUICK)
    run = tune_recipe(recipe, tmp_path / "run", device="cpu")
    assert read_recipe(str(run.path / "recipe.yaml")) == recipe
    assert run.tuning["num_trained"] == run.model.attachments[0].num_parameters


def test_the_same_recipe_and_seed_give_the_same_adapter(tmp_path):
    recipe = read_recipe("fulllora-digits", [*QUICK, "objective.attack.steps=1"])
    one, two = (tune_recipe(recipe, tmp_path / n, device="cpu") for n in ("one", "two"))
    name = "adapter_model.safetensors"
    assert (one.path / name).read_bytes() == (two.path / name).read_bytes()


def test_a_run_resumes_only_with_the_same_technique_weights_and_images(digits, tmp_path):
    plan = rp.TrainingPlan(epochs=2, batch_size=50, selection_attack=rp.PGD(steps=1))

    def stop(progress):
        if progress.epoch == 2:
            raise RuntimeError

    def tune(data=digits, weights=True, alpha=None, **options):
        model = rp.load_backbone("digits_vit", num_classes=10, weights=weights)
        method = rp.LoRA(r=2, alpha=alpha)
        return rp.tune(model, data, method=method, training=plan, output=tmp_path / "run", **options)

    with pytest.raises(RuntimeError):
        tune(observer=stop)
    swapped = dataclasses.replace(digits, train=digits.train.subset(torch.arange(len(digits.train)).flip(0)))
    for changed in ({"alpha": 8.0}, {"weights": None}, {"data": swapped}):
        with pytest.raises(UserError, match="belongs to another plan"):
            tune(resume=True, **changed)
    assert tune(resume=True).tuning["steps"] == 4


def test_a_refused_resume_leaves_the_saved_recipe_alone(tmp_path):
    tune_recipe(read_recipe("lora-digits", QUICK), tmp_path / "run", device="cpu")
    before = (tmp_path / "run" / "recipe.yaml").read_text()
    with pytest.raises(UserError, match="belongs to another plan"):
        tune_recipe(read_recipe("lora-digits", [*QUICK, "method.r=2"]), tmp_path / "run", resume=True, device="cpu")
    assert (tmp_path / "run" / "recipe.yaml").read_text() == before


def test_values_of_another_kind_are_refused_with_an_example(digits, tmp_path):
    for field, value in (("method", "lora"), ("threat", 8 / 255), ("training", {}), ("objective", "natural")):
        with pytest.raises(UserError, match=r"tune takes a value of \w+ here, as from rp\."):
            rp.tune(rp.load_backbone("digits_vit"), digits, output=tmp_path / "run", **{field: value})
