"""Every entry of OBJECTIVES keeps what `Objective` promises, on a ViT with an adapter."""

import dataclasses
import importlib
import inspect
import json
import pkgutil

import pytest
import timm
import torch

import robustpeft.objectives as room
from robustpeft.attacks import ATTACK_AXIS
from robustpeft.backbones import ImageClassifier, Normalize, find_seams
from robustpeft.objectives import AWP, FARE, OBJECTIVE_AXIS, OBJECTIVES, TRADES, Mix, Natural, Objective
from robustpeft.perturbations import PERTURBATIONS, GaussianNoise, Perturbation
from robustpeft.pet import Adapter, Combined, LoRA
from robustpeft.types import L2, Axis, Linf, UserError, content_ids, from_plain, to_plain

AXES = (OBJECTIVE_AXIS, ATTACK_AXIS, Axis(Perturbation, PERTURBATIONS, "perturbation"))
LABELS = torch.tensor([0, 1, 2, 0, 1])
IDS = torch.tensor([11, 12, 13, 14, 15])
NOTHING_ADDED = {
    "noisy": {"perturbation": GaussianNoise(0.0)},
    "smoothing": {"amount": 0.0},
    "mix": {"probability": 0.0},
}
"""What else than an adversary an objective adds, switched off."""


@pytest.fixture(params=sorted(OBJECTIVES))
def name(request):
    return request.param


@pytest.fixture
def objective(name):
    return OBJECTIVES[name]()


@pytest.fixture(scope="module")
def images():
    return torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def tuned(dropout=0.0):
    """Return the handle of an adapter, with hooks and without, that has been trained for a while."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model(
            "vit_tiny_patch16_224", num_classes=3, img_size=16, patch_size=8, embed_dim=16, depth=2, num_heads=2
        )
        model = ImageClassifier(network, Normalize((0.5,) * 3, (0.5,) * 3), num_classes=3, seams=find_seams(network))
        handle = Combined((LoRA(r=2, dropout=dropout), Adapter(bottleneck=4))).attach(model)
        with torch.no_grad():
            for parameter in handle.parameters():
                parameter.add_(0.2 * torch.randn(parameter.shape))
    handle.train(False)
    return handle


@pytest.fixture
def handle():
    return tuned()


@pytest.fixture
def model(handle):
    return handle.model


def test_every_objective_of_the_package_is_in_the_table():
    found = {}
    for info in pkgutil.iter_modules(room.__path__):
        module = importlib.import_module(f"{room.__name__}.{info.name}")
        for cls in vars(module).values():
            concrete = isinstance(cls, type) and issubclass(cls, Objective) and not inspect.isabstract(cls)
            if concrete and cls.__module__ == module.__name__:
                found[info.name] = cls
    assert dict(OBJECTIVES) == found


def test_the_key_is_the_class_name_in_lower_case_and_the_class_is_final_and_exported(name):
    cls = OBJECTIVES[name]
    assert cls.__name__.lower() == name.replace("_", "")
    assert cls.__name__ in room.__all__
    assert cls.__final__


def test_it_says_whether_it_uses_the_threat(name, objective, model, images):
    assert objective.adversarial is (name not in ("natural", "noisy"))
    lesson = objective.lesson(model, images, LABELS, Linf(0.1))
    assert (lesson.adversarial is not None) is objective.adversarial


def test_the_value_is_frozen_hashable_and_comes_back_from_json(name, objective):
    with pytest.raises(dataclasses.FrozenInstanceError):
        objective.anything = 1
    assert len({objective, OBJECTIVES[name]()}) == 1
    plain = json.loads(json.dumps(to_plain(objective, AXES)))
    assert plain["name"] == name
    assert from_plain(Objective, plain, AXES) == objective
    assert from_plain(Objective, name, AXES) == objective


def test_one_is_written_within_another():
    plain = {"name": "mix", "objective": {"name": "awp", "gamma": 0.01, "objective": "trades"}, "probability": "1/2"}
    assert from_plain(Objective, plain, AXES) == Mix(AWP(TRADES(), gamma=0.01), probability=0.5)


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.5)], ids=str)
def test_the_loss_is_a_finite_scalar_with_a_graph_and_its_parts_are_for_the_log(objective, model, images, threat):
    loss = objective(model, images, LABELS, threat)
    assert loss.total.shape == ()
    assert loss.total.requires_grad
    assert loss.parts
    for part in loss.parts.values():
        assert part.shape == ()
        assert torch.isfinite(part)
        assert not part.requires_grad


@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_at_epsilon_0_it_is_the_natural_loss(name, model, images, progress):
    objective = OBJECTIVES[name](**NOTHING_ADDED.get(name, {}))
    wanted = Natural()(model, images, LABELS, Linf(0.1)).total
    if name == "fare":  # without labels: nothing is lost as long as the embeddings are the frozen ones
        with model.disabled():
            wanted = torch.tensor(0.0)
            assert torch.equal(objective(model, images, LABELS, Linf(0.0)).total, wanted)
        return
    assert torch.equal(objective(model, images, LABELS, Linf(0.0), progress=progress).total, wanted)


def test_only_trained_parameters_receive_gradients_and_nothing_but_gradients_changes(objective, handle, images):
    before = {key: value.clone() for key, value in handle.model.state_dict().items()}
    objective(handle.model, images, LABELS, Linf(0.1)).total.backward()
    trained = handle.named_parameters()
    for key, parameter in handle.model.network.named_parameters():
        without = key not in trained or (isinstance(objective, FARE) and handle.is_head(key))
        assert (parameter.grad is None) if without else bool(parameter.grad.abs().sum() > 0), key
    assert all(torch.equal(value, before[key]) for key, value in handle.model.state_dict().items())


def test_what_is_trained_is_still_there_when_something_raises(objective, handle, images):
    model = handle.model
    before = {key: value.clone() for key, value in model.state_dict().items()}
    calls = []

    def break_down(module, args):
        calls.append(1)
        if len(calls) == last:
            raise KeyboardInterrupt

    hook = model.network.norm.register_forward_pre_hook(break_down)
    last = 0
    objective(model, images, LABELS, Linf(0.1))
    last, all_calls = len(calls), len(calls)
    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        objective(model, images, LABELS, Linf(0.1))
    assert len(calls) == all_calls
    hook.remove()
    assert {key for key, p in model.network.named_parameters() if p.requires_grad} == set(handle.named_parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_the_images_are_left_alone_and_receive_no_gradient(objective, model, images):
    given = images.clone()
    lesson = objective.lesson(model, given, LABELS, Linf(0.1))
    objective.loss(model, lesson).total.backward()
    assert torch.equal(given, images)
    assert given.grad is None
    assert not lesson.attacked.requires_grad
    assert 0 <= lesson.attacked.min() <= lesson.attacked.max() <= 1


def test_the_seed_decides_and_the_global_random_state_neither_matters_nor_moves(objective, model, images):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = objective(model, images, LABELS, Linf(0.1), seed=3, progress=0.1).total
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(objective(model, images, LABELS, Linf(0.1), seed=3, progress=0.1).total, first)
    others = {objective(model, images, LABELS, Linf(0.1), seed=seed, progress=0.1).total.item() for seed in range(4, 8)}
    assert (first.item() in others) is isinstance(objective, Natural)


@pytest.mark.parametrize("seed", [0, 3])
def test_the_order_of_the_images_does_not_matter(objective, model, images, seed):
    order = torch.tensor([3, 0, 4, 2, 1])
    kinds = {"seed": seed, "progress": 0.1}
    first = objective.lesson(model, images, LABELS, Linf(0.1), ids=IDS, **kinds)
    second = objective.lesson(model, images[order], LABELS[order], Linf(0.1), ids=IDS[order], **kinds)
    torch.testing.assert_close(second.attacked, first.attacked[order])
    totals = [objective.loss(model, lesson).total for lesson in (first, second)]
    torch.testing.assert_close(*totals)


def test_a_lesson_can_be_learnt_in_parts(name, objective, model, images):
    lesson = objective.lesson(model, images, LABELS, Linf(0.1), seed=3)
    parts = [(torch.arange(2), 0.4), (torch.arange(2, 5), 0.6)]
    total = sum(share * objective.loss(model, lesson.take(rows)).total for rows, share in parts)
    if name == "awp":  # every part has worst weights of its own
        return
    torch.testing.assert_close(total, objective.loss(model, lesson).total)


def test_ids_are_those_of_the_pixels_by_default(objective, model, images):
    first = objective(model, images, LABELS, Linf(0.1)).total
    assert torch.equal(objective(model, images, LABELS, Linf(0.1), ids=content_ids(images)).total, first)


def test_the_training_pass_is_made_in_the_mode_the_model_is_in(objective, images):
    handle = tuned(dropout=0.5)
    handle.train()
    flags = [module.training for module in handle.model.modules()]
    losses = {objective(handle.model, images, LABELS, Linf(0.0)).total.item() for _ in range(8)}
    assert len(losses) > 1
    assert [module.training for module in handle.model.modules()] == flags


def test_the_adversary_attacks_in_eval_mode_also_while_the_model_is_in_training_mode(objective, images):
    found = []
    for mode in (False, True):
        handle = tuned(dropout=0.5)
        handle.train(mode)
        found.append(objective.lesson(handle.model, images, LABELS, Linf(0.1), seed=3, progress=0.1))
    assert torch.equal(found[0].attacked, found[1].attacked)


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS + 1, r"labels must be in \[0, 3\); found 1 to 3"),
        (LABELS - 1, "labels must be at least 0; found -1 to 1"),
        (LABELS[:3], "5 images came with 3 labels"),
        (LABELS.float(), "labels must be integers"),
    ],
)
def test_labels_that_are_no_classes_of_the_model_are_refused(name, objective, model, images, labels, message, epsilon):
    if name == "fare" and "found 1 to 3" in message:
        return  # it never asks for logits
    with pytest.raises(UserError, match=message):
        objective(model, images, labels, Linf(epsilon))


def test_labels_may_be_integers_of_any_width(objective, model, images):
    wanted = objective(model, images, LABELS, Linf(0.1)).total
    assert torch.equal(objective(model, images, LABELS.int(), Linf(0.1)).total, wanted)
