"""A frozen twin answers as its model in eval mode does, shares its tensors, and leaves no trace in it.

One file, though long: whatever a module may carry, the same is asked of its twin; what leads from attributes to other
modules is asked in test_rebinding.
"""

import copy
import functools
import warnings
from types import MethodType

import pytest
import torch
from torch import nn

from robustpeft.errors import UserError
from robustpeft.types import attack_view, frozen_twin


class Net(nn.Module):
    """Convolution, batch norm, dropout, a layer used twice under two names and a parameter frozen by the user."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.first = nn.Linear(4, 4)
        self.second = self.first
        self.absent = None
        self.head = nn.Linear(4, 5)
        self.head.bias.requires_grad_(False)
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, images):
        hidden = self.drop(self.norm(self.conv(images)).relu()).mean((2, 3))
        return self.head(self.second(self.first(hidden).relu())) * self.scale


class Branch(nn.Module):
    """A linear map with an added branch that can be folded into it."""

    def __init__(self):
        super().__init__()
        self.base = nn.Linear(4, 4)
        self.added = nn.Linear(4, 4, bias=False)

    def forward(self, x):
        return self.base(x) + self.added(x)

    def folded(self):
        merged = nn.Linear(4, 4)
        merged.weight.copy_(self.base.weight + self.added.weight)
        merged.bias.copy_(self.base.bias)
        return merged


def state_of(model):
    return {
        "training": [m.training for m in model.modules()],
        "requires_grad": [p.requires_grad for p in model.parameters()],
        "grad": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "tensors": {k: v.clone() for k, v in model.state_dict().items()},
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
    }


def same(one, other):
    return (
        all(one[k] == other[k] for k in ("training", "requires_grad", "hooks"))
        and all((a is b is None) or torch.equal(a, b) for a, b in zip(one["grad"], other["grad"], strict=True))
        and all(torch.equal(one["tensors"][k], other["tensors"][k]) for k in one["tensors"])
    )


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = Net()
    with torch.no_grad():
        net.norm.running_mean.add_(0.3)
    net.train()
    net.conv.eval()  # a mixture of modes, as fine-tuning leaves it
    net(torch.rand(4, 3, 8, 8)).sum().backward()
    return net


@pytest.fixture
def images():
    return torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_the_twin_answers_as_the_original_does_in_eval_mode(net, images):
    assert torch.equal(frozen_twin(net)(images), copy.deepcopy(net).eval()(images))
    assert not any(m.training for m in frozen_twin(net).modules())


def test_the_original_is_as_it_was_while_and_after_the_twin_is_used(net, images):
    before = state_of(net)
    twin = frozen_twin(net)
    assert same(state_of(net), before)
    images.requires_grad_()
    twin(images).sum().backward()
    assert images.grad.abs().sum() > 0
    assert same(state_of(net), before)


def test_what_is_done_to_the_twin_does_not_reach_the_original(net, images):
    before = state_of(net)
    twin = frozen_twin(net)
    twin.train()
    twin.requires_grad_(True)
    twin.head.register_forward_hook(lambda *_: pytest.fail("the hook of the twin ran in the original"))
    twin.register_forward_pre_hook(lambda *_: pytest.fail("the hook of the twin ran in the original"))
    twin.extra = nn.Linear(1, 1)
    del twin.head
    assert same(state_of(net), before)
    net(images)


def test_hooks_of_the_original_run_in_the_twin_until_it_is_made_again(net, images):
    plain = frozen_twin(net)
    handle = net.head.register_forward_hook(lambda module, args, output: output + 1)
    hooked = frozen_twin(net)
    assert torch.allclose(hooked(images), plain(images) + 2)  # the hook's 1 is scaled by 2
    handle.remove()
    assert torch.equal(frozen_twin(net)(images), plain(images))


def test_no_parameter_of_the_twin_asks_for_a_gradient_or_holds_one(net):
    for parameter in frozen_twin(net).parameters():
        assert isinstance(parameter, nn.Parameter)
        assert not parameter.requires_grad
        assert parameter.grad is None


def test_the_twin_shares_the_storage_of_every_tensor(net):
    twin = frozen_twin(net)
    one, other = net.state_dict(keep_vars=True), twin.state_dict(keep_vars=True)
    assert one.keys() == other.keys()
    assert all(one[k].data_ptr() == other[k].data_ptr() for k in one)
    assert twin.scale is net.scale


def test_the_twin_sees_an_update_made_in_place(net, images):
    twin = frozen_twin(net)
    old = twin(images)
    torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.5).step()
    assert not torch.equal(twin(images), old)
    assert torch.equal(twin(images), copy.deepcopy(net).eval()(images))


def test_a_module_with_two_names_still_has_them(net):
    twin = frozen_twin(net)
    assert twin.first is twin.second
    assert twin.first is not net.first
    assert twin.absent is None
    assert len(list(twin.modules())) == len(list(net.modules()))


def test_a_foldable_module_is_replaced_by_its_folded_form_and_stays_whole_in_the_original():
    torch.manual_seed(0)
    branch = Branch()
    model = nn.Sequential(nn.Linear(4, 4), branch, branch)
    x = torch.rand(3, 4)
    twin = frozen_twin(model)
    assert type(twin[1]) is nn.Linear
    assert twin[1] is twin[2]
    assert not any(p.requires_grad for p in twin.parameters())
    assert not any(m.training for m in twin.modules())
    assert torch.allclose(twin(x), model(x), atol=1e-6)
    assert model[1] is branch
    assert all(p.requires_grad for p in model.parameters())


def test_a_folded_branch_has_tensors_of_its_own():
    branch = Branch()
    twin = frozen_twin(branch)
    weight = twin.weight.clone()
    with torch.no_grad():
        branch.base.weight.add_(1.0)
    assert torch.equal(twin.weight, weight)


def test_a_scripted_module_is_copied_whole(images):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.script` is (deprecated|not supported)")
        scripted = torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(192, 2), nn.Dropout(0.5)))
    model = nn.Sequential(scripted).train()
    twin = frozen_twin(model)
    assert torch.equal(twin(images), twin(images))  # dropout is off
    assert not any(p.requires_grad for p in twin.parameters())
    assert scripted.training
    assert all(p.requires_grad for p in model.parameters())


class TestAttackView:
    def test_a_module_gives_a_frozen_twin(self, net):
        assert isinstance(attack_view(net), Net)
        assert attack_view(net) is not net

    def test_an_attackable_model_is_asked_for_its_own_view(self, net):
        class Own(Net):
            def attack_view(self):
                return "the view"

            def disabled(self):
                raise NotImplementedError

            def features(self, images):
                raise NotImplementedError

        assert attack_view(Own()) == "the view"

    def test_any_other_callable_is_attacked_as_it_is(self):
        def classify(images):
            return images.flatten(1)

        assert attack_view(classify) is classify


def test_a_compiled_module_is_not_attacked_in_training_mode():
    for compiled in (lambda m: torch.compile(m, backend="eager"), lambda m: m.compile(backend="eager") or m):
        model = Net().train()
        model.norm.running_mean.uniform_()
        images = torch.rand(3, 3, 8, 8)
        expected = copy.deepcopy(model).eval()(images)
        before = state_of(model)
        assert torch.equal(frozen_twin(compiled(model))(images), expected)
        assert same(before, state_of(model))


def test_a_method_put_on_a_module_runs_on_the_twin():
    def forward(self, images, scale):
        return type(self).forward(self, images) * scale

    def doubled(self, images):
        return forward(self, images, 2.0)

    for put in (
        lambda m: MethodType(doubled, m),
        lambda m: functools.partial(forward, m, scale=2.0),
        lambda m: functools.partial(MethodType(forward, m), scale=2.0),
    ):
        model = Net().train()
        images = torch.rand(3, 3, 8, 8)
        expected = copy.deepcopy(model).eval()(images) * 2.0
        model.forward = put(model)
        before = state_of(model)
        assert torch.equal(frozen_twin(model)(images), expected)
        assert same(before, state_of(model))


def test_a_function_in_the_place_of_forward_runs_the_twin_by_what_it_closed_over(images):
    model = Net().train()
    written = model.forward
    model.forward = lambda images: written(images) + 1
    expected = copy.deepcopy(Net.forward)(copy.deepcopy(model).eval(), images) + 1
    before = state_of(model)
    assert torch.equal(frozen_twin(model)(images), expected)
    assert same(before, state_of(model))


def test_a_function_in_the_place_of_forward_is_refused_in_training_mode_where_it_may_run_the_original(images):
    model = Net()

    class Holder:
        net = model

    namespace = {"net": model, "Net": Net}
    by_name = eval("lambda images: (lambda: Net.forward(net, images))() + 1", namespace)
    holder = Holder()
    for forward in (by_name, lambda images: Net.forward(holder.net, images) + 1):
        model.train()
        model.forward = forward
        with pytest.raises(UserError, match=r"a Net in training mode .* call eval\(\) on the model"):
            frozen_twin(model)
        model.eval()
        assert torch.equal(frozen_twin(model)(images), Net.forward(model, images) + 1)


def test_whatever_else_is_put_in_the_place_of_forward_is_refused_in_training_mode(images):
    class Call:
        def __init__(self, run):
            self.run = run

        def __call__(self, images):
            return self.run(images) + 1

    for put in (Call, functools.lru_cache, lambda run: functools.partial(Call(run)), lambda run: Call(run).__call__):
        model = Net().train()
        model.forward = put(model.forward)
        with pytest.raises(UserError, match=r"a Net in training mode has a \w+ put in .* call eval\(\) on the model"):
            frozen_twin(model)
        model.eval()
        assert torch.equal(frozen_twin(model)(images), model(images))


def test_what_is_in_slots_is_taken_along_and_bound_to_the_twin():
    class Slotted(nn.Linear):
        __slots__ = ("__hidden", "empty", "held")

        def __init__(self):
            super().__init__(4, 4)
            self.__hidden, self.held = 3.0, [nn.Dropout(0.5)]

        def forward(self, images):
            return self.held[0](super().forward(images)) * self.__hidden

    class Derived(Slotted):
        __slots__ = ("more",)

    model, x = Derived().train(), torch.rand(3, 4)
    model.more = 5
    twin = frozen_twin(model)
    assert torch.equal(twin(x), nn.functional.linear(x, model.weight, model.bias) * 3.0)
    assert (twin.more, hasattr(twin, "empty"), model.held[0].training) == (5, False, True)
    assert twin.held[0] is not model.held[0]
