"""What holds of every specimen and every honest model, on the bundled ViT."""

import importlib
import inspect
import pkgutil

import pytest
import torch

import robustpeft as rp
import robustpeft.auditing.specimens as room
from robustpeft.attacks import PGD
from robustpeft.auditing.specimens import CHECKS, HONEST, SPECIMENS, SPOILED
from robustpeft.types import Linf

EVERYTHING = {**SPECIMENS, **HONEST}
OF_ANOTHER_ACCURACY = {
    "normalised_twice",
    "wrong_normalisation",
    "wrong_range",
    "classes_permuted",
    "classes_sorted_as_words",
    "constant",
}
LESS_ACCURATE = {"k_winners": 0.15, "cropped": 0.2}
CHANGING = {
    "noisy_logits",
    "noisy_inputs",
    "random_padding",
    "dropout_left_on",
    "left_in_training_mode",
    "call_counter",
    "moving_statistics",
}
NEIGHBOURLY = CHANGING | {"batch_statistics", "mixed_with_neighbour"}
MASKING = {
    "zero_gradient",
    "zero_gradient_when_sure",
    "flipped_gradient",
    "shifted_gradient",
    "quantised_inputs",
    "rounded_features",
    "rounded_logits",
    "scaled_logits",
    "distilled",
    "purification",
}
WITHOUT_GRADIENT = {"detached", "eight_bits", "thermometer", "jpeg_inside", "resized_without_gradient", "voting"}


@pytest.fixture(scope="module")
def vit():
    return rp.load_backbone("digits_vit").eval()


@pytest.fixture(scope="module")
def batch():
    return next(rp.load_data("digits").test.batches(60))


@pytest.fixture(scope="module")
def adversarial(vit, batch):
    return PGD(steps=10)(vit, batch.images, batch.labels, Linf(0.05), ids=batch.ids)


def answers(model, images):
    with torch.no_grad():
        return model(images.clone()).float()


def accuracy(model, images, labels):
    return (answers(model, images).nan_to_num(-1e9).argmax(1) == labels).float().mean().item()


def test_there_are_as_many_as_the_list_of_defects_asks_for():
    assert len(SPECIMENS) >= 40
    assert len(HONEST) >= 12
    assert not SPECIMENS.keys() & HONEST.keys()


def test_every_builder_of_the_package_is_in_a_table():
    builders = set()
    for info in pkgutil.iter_modules(room.__path__):
        module = importlib.import_module(f"{room.__name__}.{info.name}")
        for name in getattr(module, "__all__", ()):
            member = getattr(module, name)
            if inspect.isfunction(member) and list(inspect.signature(member).parameters) == ["model"]:
                builders.add(member)
    assert {entry.build for entry in EVERYTHING.values()} == builders


@pytest.mark.parametrize("table", [SPECIMENS, HONEST, SPOILED])
def test_the_key_is_the_name(table):
    assert all(key == entry.name for key, entry in table.items())


def test_what_is_expected_is_a_known_check_and_every_check_is_expected_somewhere():
    found = [check for table in (SPECIMENS, SPOILED) for entry in table.values() for check in entry.expected]
    assert set(found) == set(CHECKS)
    assert all(entry.expected for table in (SPECIMENS, SPOILED) for entry in table.values())


@pytest.mark.parametrize("name", EVERYTHING)
def test_the_honest_model_is_left_as_it_was(name, vit, batch):
    before = {key: tensor.clone() for key, tensor in vit.state_dict().items()}
    modes = [module.training for module in vit.modules()]
    hooks = [len(module._forward_hooks) for module in vit.modules()]
    asked = answers(vit, batch.images[:4])
    random = torch.get_rng_state()
    broken = EVERYTHING[name].build(vit)
    assert torch.equal(torch.get_rng_state(), random)
    answers(broken, batch.images[:4])
    assert all(torch.equal(tensor, before[key]) for key, tensor in vit.state_dict().items())
    assert [module.training for module in vit.modules()] == modes
    assert [len(module._forward_hooks) for module in vit.modules()] == hooks
    assert all(parameter.grad is None for parameter in vit.parameters())
    assert torch.equal(answers(vit, batch.images[:4]), asked)


@pytest.mark.parametrize("name", EVERYTHING)
def test_the_classifier_is_as_good_as_before_unless_that_is_the_defect(name, vit, batch):
    found = accuracy(EVERYTHING[name].build(vit), batch.images, batch.labels)
    if name in OF_ANOTHER_ACCURACY:
        assert found < 0.6
    else:
        assert found > accuracy(vit, batch.images, batch.labels) - LESS_ACCURATE.get(name, 0.07)


@pytest.mark.parametrize("name", EVERYTHING)
def test_the_same_question_gets_the_same_answer_unless_that_is_the_defect(name, vit, batch):
    model = EVERYTHING[name].build(vit)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, *others = (answers(model, batch.images[:8]).nan_to_num(0) for _ in range(4))
    assert all(torch.equal(first, other) for other in others) != (name in CHANGING)


@pytest.mark.parametrize("name", EVERYTHING)
def test_the_neighbours_do_not_matter_unless_that_is_the_defect(name, vit, batch):
    build = EVERYTHING[name].build
    together = answers(build(vit), batch.images[:8]).nan_to_num(0)
    alone = torch.cat([answers(build(vit), image[None]) for image in batch.images[:8]]).nan_to_num(0)
    coarse = name in ("half_precision", "autocast")
    same = torch.allclose(together, alone, rtol=0.05 if coarse else 1e-4, atol=0.2 if coarse else 1e-3)
    if name not in CHANGING:
        assert same != (name in NEIGHBOURLY)


@pytest.mark.parametrize("name", EVERYTHING)
def test_only_what_was_left_in_training_mode_is_in_it(name, vit):
    modes = {module.training for module in EVERYTHING[name].build(vit).modules()}
    assert modes == ({True, False} if name == "left_in_training_mode" else {False})


@pytest.mark.parametrize("name", HONEST)
def test_gradients_of_honest_models_are_those_of_their_function(name, vit, batch, slope):
    model, images = HONEST[name].build(vit), batch.images[:4] * 0.9 + 0.05
    weights = torch.linspace(-1, 1, 10)
    _, gradient = slope(model, images, weights)
    assert torch.isfinite(gradient).all()
    assert (gradient.flatten(1).abs().sum(1) > 0).all()
    if name in ("half_precision", "autocast"):  # too coarse for differences
        _, exact = slope(vit, images, weights)
        assert torch.cosine_similarity(gradient.float().flatten(), exact.flatten(), dim=0) > 0.95
        return
    step = 0.003 * gradient.sign()
    ahead, behind = ((answers(model, images + s) @ weights).sum() for s in (step, -step))
    if name == "centred_logits":  # the largest logit is a constant to the gradient, and weights do not add up to 0
        weights = weights - weights.mean()
    assert (ahead - behind).item() == pytest.approx(2 * (gradient * step).sum().item(), rel=0.1)


@pytest.mark.parametrize("name", sorted(MASKING | {"query_memory"}))
def test_the_robustness_that_is_seen_is_not_there(name, vit, batch, adversarial):
    model = SPECIMENS[name].build(vit)
    attacked = PGD(steps=5)(model, batch.images, batch.labels, Linf(0.05), ids=batch.ids)
    seen = accuracy(SPECIMENS[name].build(vit), attacked, batch.labels)
    assert seen > accuracy(SPECIMENS[name].build(vit), adversarial, batch.labels) + 0.2


@pytest.mark.parametrize("name", sorted(WITHOUT_GRADIENT))
def test_without_a_graph_there_is_no_gradient_to_be_had(name, vit, batch, slope):
    model = SPECIMENS[name].build(vit)
    for parameter in model.parameters():
        assert parameter.requires_grad or name == "voting"
    with pytest.raises(RuntimeError):
        slope(model, batch.images[:2])
