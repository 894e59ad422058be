"""Every entry of ATTACKS keeps what `Attack` promises, under every norm."""

import copy
import dataclasses
import importlib
import inspect
import json
import pkgutil

import pytest
import torch
from torch import nn

import robustpeft.attacks as room
from robustpeft.attacks import ATTACK_AXIS, ATTACKS, Attack, margin
from robustpeft.types import L2, Linf, UserError, from_plain, to_plain

THREATS = (Linf(8 / 255), L2(0.5))
WITH_LOSS = sorted(name for name, cls in ATTACKS.items() if "loss" in cls.__dataclass_fields__)
LOSSES = [(name, {"loss": loss}) for name in WITH_LOSS for loss in ("cross_entropy", "margin")]
LOSSES += [(name, {}) for name in sorted(set(ATTACKS) - set(WITH_LOSS))]


class Net(nn.Module):
    """Everything that an attack could leave a trace in: dropout, batch statistics, gradients, frozen parameters."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(6, 4)
        self.head.bias.requires_grad_(False)

    def forward(self, images):
        return self.head(self.drop(self.norm(self.conv(images)).relu().mean((2, 3))))


class RowByRow(nn.Module):
    """Not linear, and the same in every bit for an image in whatever batch it comes."""

    def __init__(self, pixels, classes):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.weight = nn.Parameter(torch.randn(classes, pixels, generator=generator))

    def forward(self, images):
        flat = images.flatten(1)[:, None]
        return (flat * flat * self.weight + flat * self.weight.roll(1, 1)).sum(-1)


def trace_of(model):
    return {
        "training": [m.training for m in model.modules()],
        "requires_grad": [p.requires_grad for p in model.parameters()],
        "grad": [None if p.grad is None else p.grad.tolist() for p in model.parameters()],
        "tensors": {name: tensor.tolist() for name, tensor in model.state_dict().items()},
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        "random": torch.get_rng_state().tolist(),
    }


@pytest.fixture(params=sorted(ATTACKS))
def name(request):
    return request.param


@pytest.fixture
def attack(name, build):
    return build(name)


@pytest.fixture(params=THREATS, ids=str)
def threat(request):
    return request.param


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(6, 3, 6, 6, generator=generator)
    images[0] = 0.0  # at the edges of the box
    images[1] = 1.0
    return images


@pytest.fixture(scope="module")
def labels():
    return torch.tensor([0, 1, 2, 3, 0, 1])


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = Net().train()
    net(torch.rand(8, 3, 6, 6)).sum().backward()
    return net


@pytest.fixture(scope="module")
def row_by_row():
    return RowByRow(3 * 6 * 6, 4)


def test_every_attack_of_the_package_is_in_the_table():
    found = {}
    for info in pkgutil.iter_modules(room.__path__):
        module = importlib.import_module(f"{room.__name__}.{info.name}")
        for cls in vars(module).values():
            concrete = isinstance(cls, type) and issubclass(cls, Attack) and not inspect.isabstract(cls)
            if concrete and cls.__module__ == module.__name__:
                found[info.name] = cls
    assert dict(ATTACKS) == found


def test_the_key_is_the_class_name_in_lower_case_and_the_class_is_exported(name):
    cls = ATTACKS[name]
    assert cls.__name__.lower() == name.replace("_", "")
    assert cls.__name__ in room.__all__


def test_the_class_is_final_and_says_what_it_costs(name):
    assert ATTACKS[name].__final__
    assert "forward" in ATTACKS[name].cost


def test_the_value_is_frozen_hashable_and_comes_back_from_json(name, attack):
    with pytest.raises(dataclasses.FrozenInstanceError):
        attack.loss = "margin"
    assert len({attack, dataclasses.replace(attack)}) == 1
    plain = json.loads(json.dumps(to_plain(attack, (ATTACK_AXIS,))))
    assert plain["name"] == name
    assert from_plain(Attack, plain, (ATTACK_AXIS,)) == attack


@pytest.mark.parametrize("name", WITH_LOSS)
def test_an_unknown_loss_is_refused_with_the_nearest(name):
    with pytest.raises(UserError, match=r"unknown attack loss 'margn'; did you mean 'margin'\?"):
        ATTACKS[name](loss="margn")


def test_the_result_is_in_the_ball_and_in_the_box(attack, threat, net, images, labels):
    found = attack(net, images, labels, threat)
    assert (found.shape, found.dtype, found.requires_grad) == (images.shape, images.dtype, False)
    assert 0 <= found.min() <= found.max() <= 1
    sizes = threat.size(found.double() - images.double())
    # x + delta is rounded to float32 once: half a unit in the last place of each pixel.
    assert sizes.max() <= threat.epsilon * (1 + 1e-5) + 1e-7
    with torch.no_grad():
        attacked = margin(copy.deepcopy(net).eval()(images), labels) <= 0  # an ensemble leaves the others alone
    assert attacked.any()
    if all(stage.course(4).inside for stage in attack.stages(4)):  # what lies beyond the threat is not found
        assert sizes[attacked].min() > 0


def test_the_loss_grows(attack, threat, row_by_row, images, labels):
    if any(stage.course(4).labels_only for stage in attack.stages(4)):
        pytest.skip("it is never told a loss")

    def loss(images):
        return nn.functional.cross_entropy(row_by_row(images), labels, reduction="none")

    with torch.no_grad():
        assert (loss(attack(row_by_row, images, labels, threat)) >= loss(images)).all()


def test_the_images_given_are_not_changed(attack, threat, net, images, labels):
    before, labels_before = images.clone(), labels.clone()
    attack(net, images, labels, threat)
    assert torch.equal(images, before)
    assert torch.equal(labels, labels_before)


def test_images_and_model_that_carry_a_graph_stay_out_of_it(attack, threat, net, images, labels):
    given = images.clone().requires_grad_(True)
    found = attack(net, given * 1.0, labels, threat)
    assert not found.requires_grad
    assert given.grad is None


def test_the_seed_decides_and_nothing_else_does(attack, threat, net, images, labels):
    torch.manual_seed(0)
    first = attack(net, images, labels, threat, seed=3)
    torch.manual_seed(1)
    assert torch.equal(first, attack(net, images, labels, threat, seed=3))


def test_no_trace_is_left_in_a_model_in_training_mode(attack, threat, net, images, labels):
    before = trace_of(net)
    attack(net, images, labels, threat)
    assert trace_of(net) == before


def test_no_trace_is_left_when_the_model_raises_halfway(attack, threat, net, images, labels):
    def fail(module, args):
        if fail.calls == fail.at:
            raise ZeroDivisionError("halfway")
        fail.calls += 1

    net.head.register_forward_pre_hook(fail)
    before = trace_of(net)
    for at in (0, 1, 7):
        fail.calls, fail.at = 0, at
        try:
            attack(net, images, labels, threat)
        except ZeroDivisionError:
            assert trace_of(net) == before
        else:
            assert fail.calls <= at  # it needed fewer passes


def test_a_model_that_is_random_in_eval_mode_too_does_not_move_the_global_random_state(attack, threat, images, labels):
    class Noisy(RowByRow):
        def forward(self, images):
            return super().forward(images + 0.01 * torch.randn_like(images))

    before = torch.get_rng_state()
    attack(Noisy(108, 4), images, labels, threat)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_attacks_the_model_as_it_is_in_eval_mode(attack, threat, net, images, labels):
    assert torch.equal(attack(net, images, labels, threat), attack(copy.deepcopy(net).eval(), images, labels, threat))


def test_a_plain_callable_is_attacked_without_leaving_gradients_in_what_it_calls(attack, threat, net, images, labels):
    net.eval().requires_grad_(True)
    before = trace_of(net)

    def classify(images):
        return net(images)

    found = attack(classify, images, labels, threat)
    assert trace_of(net) == before
    assert torch.equal(found, attack(net, images, labels, threat))


def test_the_result_is_the_same_where_gradients_are_switched_off(attack, threat, net, images, labels):
    wanted = attack(net, images, labels, threat)
    with torch.no_grad():
        assert torch.equal(attack(net, images, labels, threat), wanted)
    with torch.inference_mode():
        assert torch.equal(attack(net, images * 1.0, labels * 1, threat), wanted)


@pytest.mark.parametrize(("name", "fields"), LOSSES)
def test_the_batch_around_an_image_does_not_matter(name, fields, build, threat, row_by_row, images, labels):
    attack = build(name, **fields)
    together = attack(row_by_row, images, labels, threat, seed=1)
    order = torch.tensor([3, 5, 0, 4, 1, 2])
    shuffled = attack(row_by_row, images[order], labels[order], threat, seed=1)
    alone = [attack(row_by_row, images[i : i + 1], labels[i : i + 1], threat, seed=1) for i in range(6)]
    # Softmax and square roots of a row may differ in the last bit with its place in the batch; the sign does not.
    tolerance = 0.0 if isinstance(threat, Linf) else 1e-6
    torch.testing.assert_close(shuffled, together[order], rtol=0, atol=tolerance)
    torch.testing.assert_close(torch.cat(alone), together, rtol=0, atol=tolerance)


def test_at_epsilon_0_the_images_come_back_unchanged_but_are_no_alias(attack, threat, net, images, labels):
    net.register_forward_pre_hook(lambda *_: pytest.fail("a pass was spent on nothing"))
    found = attack(net, images, labels, threat.with_epsilon(0.0))
    assert torch.equal(found, images)
    assert found.data_ptr() != images.data_ptr()


def test_an_empty_batch_stays_empty(attack, threat, net):
    found = attack(net, torch.zeros(0, 3, 6, 6), torch.zeros(0, dtype=torch.int64), threat)
    assert found.shape == (0, 3, 6, 6)


def test_two_classes_are_enough(attack, threat, images):
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    assert attack(RowByRow(108, 2), images, labels, threat).shape == images.shape


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
def test_labels_may_be_integers_of_any_width(attack, threat, net, images, labels, dtype):
    assert torch.equal(attack(net, images, labels.to(dtype), threat), attack(net, images, labels, threat))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_in_another_precision_takes_images_in_its_own(attack, threat, images, labels, dtype):
    model, given = RowByRow(108, 4).to(dtype), images.to(dtype)
    found = attack(model, given, labels, threat)
    assert found.dtype == dtype
    assert 0 <= found.min() <= found.max() <= 1
    rounding = torch.finfo(dtype).eps  # of values near 1, for each pixel
    slack = rounding * (1 if isinstance(threat, Linf) else 108**0.5)
    assert threat.size(found.double() - given.double()).max() <= threat.epsilon * (1 + 2 * rounding) + slack
