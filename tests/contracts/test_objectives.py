"""Every entry of OBJECTIVES keeps what `Objective` promises."""

import dataclasses
import importlib
import inspect
import json
import pkgutil

import pytest
import torch
from torch import nn

import robustpeft.objectives as room
from robustpeft.attacks import ATTACK_AXIS
from robustpeft.objectives import OBJECTIVE_AXIS, OBJECTIVES, Natural, Objective
from robustpeft.types import L2, Linf, UserError, from_plain, to_plain

AXES = (OBJECTIVE_AXIS, ATTACK_AXIS)
LABELS = torch.tensor([0, 1, 2, 0, 1])


@pytest.fixture(params=sorted(OBJECTIVES))
def name(request):
    return request.param


@pytest.fixture
def objective(name):
    return OBJECTIVES[name]()


@pytest.fixture
def model():
    """A network of which only the last layer is trained."""
    torch.manual_seed(0)
    frozen = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten()).requires_grad_(False)
    return nn.Sequential(frozen, nn.Linear(64, 3))


@pytest.fixture(scope="module")
def images():
    return torch.rand(5, 3, 6, 6, generator=torch.Generator().manual_seed(1))


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
    assert isinstance(cls.adversarial, bool)


def test_the_value_is_frozen_hashable_and_comes_back_from_json(name, objective):
    with pytest.raises(dataclasses.FrozenInstanceError):
        objective.anything = 1
    assert len({objective, OBJECTIVES[name]()}) == 1
    plain = json.loads(json.dumps(to_plain(objective, AXES)))
    assert plain["name"] == name
    assert from_plain(Objective, plain, AXES) == objective
    assert from_plain(Objective, name, AXES) == objective


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


def test_at_epsilon_0_it_is_the_natural_loss(objective, model, images):
    wanted = Natural()(model, images, LABELS, Linf(0.1)).total
    assert torch.equal(objective(model, images, LABELS, Linf(0.0)).total, wanted)


def test_only_trained_parameters_receive_gradients(objective, model, images):
    objective(model, images, LABELS, Linf(0.1)).total.backward()
    assert all(p.grad is None for p in model[0].parameters())
    assert all(p.grad.abs().sum() > 0 for p in model[1].parameters())


def test_the_images_receive_none(objective, model, images):
    given = images.clone().requires_grad_(True)
    objective(model, given.detach(), LABELS, Linf(0.1)).total.backward()
    assert given.grad is None


def test_the_seed_decides_and_the_global_random_state_neither_matters_nor_moves(objective, model, images):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = objective(model, images, LABELS, Linf(0.1), seed=3).total
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(objective(model, images, LABELS, Linf(0.1), seed=3).total, first)


def test_the_training_pass_is_made_in_the_mode_the_model_is_in(objective, model, images):
    model = nn.Sequential(*model, nn.Dropout(0.5)).train()
    losses = {objective(model, images, LABELS, Linf(0.0)).total.item() for _ in range(8)}
    assert len(losses) > 1
    assert all(m.training for m in model.modules())


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
def test_labels_that_are_no_classes_of_the_model_are_refused(objective, model, images, labels, message, epsilon):
    with pytest.raises(UserError, match=message):
        objective(model, images, labels, Linf(epsilon))


def test_labels_may_be_integers_of_any_width(objective, model, images):
    wanted = objective(model, images, LABELS, Linf(0.1)).total
    assert torch.equal(objective(model, images, LABELS.int(), Linf(0.1)).total, wanted)
