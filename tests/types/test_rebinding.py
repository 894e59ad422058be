"""Modules that the module tree does not show: the twin finds them, in eval mode, and the original keeps its own."""

import functools
from collections import OrderedDict
from types import MethodType

import pytest
import torch
from torch import nn

from robustpeft.types import frozen_twin, rebinding
from robustpeft.types.rebinding import Rebinding, globals_of


def layers():
    """Return modules that answer otherwise in training mode, or change."""
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(6)
    norm.running_mean.uniform_()
    return [nn.Linear(12, 6), norm, nn.Dropout(0.5)]


class Chain(nn.Module):
    """Runs layers that hang somewhere in it."""

    def __init__(self, hold):
        super().__init__()
        self.held = hold(self, layers())
        self.head = nn.Linear(6, 3)

    def steps(self):
        return self.held

    def forward(self, images):
        hidden = images.flatten(1)
        for step in self.steps():
            (run,) = step if isinstance(step, set) else (step,)
            hidden = run(hidden)
        return self.head(hidden)


def in_dict(model, parts):
    model.steps = MethodType(lambda self: self.held["all"].values(), model)
    return {"all": OrderedDict(enumerate(parts))}


def with_names(model, parts):
    model.parts = nn.ModuleList(parts)
    return [*model.parts]


def in_closure(model, parts):
    first, second, third = parts

    def run(hidden):
        return third(second(first(hidden)))

    return [run]


def in_default(model, parts):
    first, second, third = parts
    return [lambda hidden, one=first, *, two=second: two(one(hidden)), third.forward]


def hidden_attribute(model, parts):
    for number, part in enumerate(parts):
        object.__setattr__(model, f"hidden{number}", part)
    model.steps = MethodType(lambda self: [self.hidden0, self.hidden1, self.hidden2], model)


def called(part, hidden, again):
    return again(part(hidden))


def as_keys(model, parts):
    object.__setattr__(model, "order", parts)
    model.steps = MethodType(lambda self: [self.held[part, "kept"] for part in self.order], model)
    return {(part, "kept"): part for part in parts}


HOLDS = {
    "list": lambda model, parts: parts,
    "set in a tuple": lambda model, parts: (*({part} for part in parts),),
    "dict": in_dict,
    "registered too": with_names,
    "keys of a dict": as_keys,
    "bound methods": lambda model, parts: tuple(part.forward for part in parts),
    "partial": lambda model, parts: [functools.partial(called, part, again=nn.Identity()) for part in parts],
    "closure": in_closure,
    "default": in_default,
    "attribute put past PyTorch": hidden_attribute,
}


def met_in(model):
    met = []
    Rebinding(lambda part: met.append(part) or part)([*vars(model).values()])
    return [p for part in [model, *met] for p in part.modules()]


@pytest.fixture(params=HOLDS)
def model(request):
    return Chain(HOLDS[request.param]).train()


@pytest.fixture
def images():
    return torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(1))


def expected(images):
    first, norm, _ = parts = layers()
    for part in parts:
        part.eval()
    return norm(first(images.flatten(1)))


def test_the_twin_runs_them_in_eval_mode_and_leaves_the_originals_alone(model, images):
    met = met_in(model)
    assert any(isinstance(part, nn.BatchNorm1d) for part in met)
    modes = [part.training for part in met]
    buffers = [buffer.clone() for part in met for buffer in part.buffers()]
    twin = frozen_twin(model)
    images.requires_grad_()
    answered = twin(images)
    assert torch.equal(answered, model.head(expected(images)))
    answered.sum().backward()
    assert images.grad.abs().sum() > 0
    assert [part.training for part in met] == modes
    assert all(map(torch.equal, (buffer for part in met for buffer in part.buffers()), buffers))
    assert all(parameter.grad is None for part in met for parameter in part.parameters())


def test_names_for_one_module_stay_names_for_one():
    model = Chain(with_names)
    twin = frozen_twin(model)
    assert all(one is other for one, other in zip(twin.held, twin.parts, strict=True))
    assert all(one is not other for one, other in zip(twin.held, model.held, strict=True))
    assert twin.held[0].weight.data_ptr() == model.held[0].weight.data_ptr()


def test_a_hook_bound_to_the_model_runs_on_the_twin(images):
    class Watched(Chain):
        def watch(self, module, args, output):
            self.modes.append((self.training, self.head.training))

    model = Watched(lambda model, parts: parts).train()
    model.modes = []
    model.head.register_forward_hook(model.watch)
    frozen_twin(model)(images)
    assert model.modes == [(False, False)]
    model(images)
    assert model.modes[1:] == [(True, True)]


def test_what_leads_to_no_module_is_shared():
    model = Chain(lambda model, parts: parts)
    model.log, model.table, model.function = [1, [2]], {"a": (1, 2)}, lambda images: images
    model.partial = functools.partial(sorted, reverse=True)
    twin = frozen_twin(model)
    for name in ("log", "table", "function", "partial"):
        assert getattr(twin, name) is getattr(model, name)


def test_a_circle_stays_one_and_a_function_calls_its_new_self():
    part, new = nn.Linear(1, 1), nn.Linear(1, 1)
    circle = [part]
    circle.append({"again": circle})

    def countdown(number):
        return part if number == 0 else countdown(number - 1)

    rebound = Rebinding(lambda met: new)
    found = rebound(circle)
    assert found[0] is new
    assert found[1]["again"] is found
    assert rebound(circle) is found
    assert rebound(countdown)(3) is new
    assert countdown(3) is part


def test_a_counter_beside_a_module_counts_on_in_both():
    part, count = nn.Linear(1, 1), 0

    def look():
        nonlocal count
        count += 1
        return part, count

    look.note = "kept"
    copied = Rebinding(lambda met: None)(look)
    assert [look()[1], copied()[1], look()[1]] == [1, 2, 3]
    assert (copied()[0], copied.note, copied.__qualname__) == (None, "kept", look.__qualname__)


def test_a_name_not_given_yet_is_left_so():
    def outer():
        def inner():
            return part, later

        copied = Rebinding(lambda met: "new")(inner)
        with pytest.raises(NameError):
            copied()
        later = 5
        return copied

    part = nn.Linear(1, 1)
    assert outer()() == ("new", 5)


def test_names_looked_up_in_the_file_are_known_also_those_of_functions_within():
    code = compile("lambda x: (lambda: first(x))() + second", "file", "eval")
    assert {"first", "second"} <= set(globals_of(code))


def nested(value, times):
    for _ in range(times):
        value = [value]
    return value


@pytest.mark.parametrize("times", [400, 100_000])
def test_what_lies_too_deep_is_left_as_it_is(times):
    deep = nested(nn.Linear(1, 1), times)
    rebound = Rebinding(lambda met: None)
    assert rebound(deep) is deep
    chain = None
    for _ in range(times):
        chain = [nn.Identity(), chain]
    found = rebound(chain)
    assert (found[0], found[1][0], found[1][1][0]) == (None, None, None)


def test_what_lies_ninety_deep_is_found():
    assert Rebinding(lambda met: "new")(nested(nn.Linear(1, 1), 90)) == nested("new", 90)


def test_of_a_long_container_no_more_than_the_beginning_is_looked_at(monkeypatch):
    looked = 0
    parts = rebinding._parts

    def counted(value):
        nonlocal looked
        for part in parts(value):
            looked += 1
            yield part

    monkeypatch.setattr(rebinding, "_parts", counted)
    rebound = Rebinding(lambda met: "new")
    for long in ([0] * 10**6, dict.fromkeys(range(10**5), "name"), [[0] * 1000 for _ in range(1000)]):
        looked = 0
        assert rebound(long) is long
        assert looked <= 2 * 4096
    part = nn.Linear(1, 1)
    assert rebound([0] * 255 + [part] + [0] * 1000 + [part]) == [0] * 255 + ["new"] + [0] * 1000 + ["new"]
    assert rebound([[0] * 1000, {"a": part}])[1] == {"a": "new"}
