import contextlib

import pytest
import torch
from torch import nn
from torch.func import functional_call

from robustpeft.backbones import load_backbone
from robustpeft.pet import FullLoRA
from robustpeft.training.cost import SavedBytes
from robustpeft.training.recompute import recomputing, saving


class Block(nn.Module):
    """A norm, a trained layer, a GELU and another trained layer; `spoil` changes what the GELU returned."""

    def __init__(self, spoil=lambda x: x):
        super().__init__()
        self.norm, self.up, self.act, self.down = nn.LayerNorm(8), nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 8)
        self.spoil = spoil

    def forward(self, tokens):
        return self.down(self.spoil(self.act(self.up(self.norm(tokens)))))


@pytest.fixture
def tokens():
    return torch.randn(5, 7, 8, generator=torch.Generator().manual_seed(0))


def gradients(model, inputs):
    model.zero_grad()
    model(inputs).square().sum().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def recomputed(model, inputs):
    model.zero_grad()
    with recomputing():
        loss = model(inputs).square().sum()
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def held(model, inputs, context):
    counter = SavedBytes(iter(model.parameters()))
    with counter.counting(), context:
        output = model(inputs)
    assert output.requires_grad
    return counter.now


def test_what_norms_and_gelus_return_is_not_kept(tokens):
    """Kept are a norm's input and its two statistics, and a GELU's input; not 8 and 32 numbers a token."""
    torch.manual_seed(0)
    block = Block()
    everything = held(block, tokens, contextlib.nullcontext())
    assert everything - held(block, tokens, recomputing()) == 35 * 4 * (8 + 32)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda x: x,
        lambda x: x.mul_(1.5),
        lambda x: x.clone().mul_(1.5),
        lambda x: x.transpose(0, 1),
        lambda x: x[1:, ::2],
    ],
    ids=["as it is", "changed in place", "a changed copy", "transposed", "a part"],
)
def test_gradients_are_those_of_keeping_everything(tokens, spoil):
    torch.manual_seed(0)
    block = Block(spoil)
    assert same(recomputed(block, tokens), gradients(block, tokens))


def test_full_lora_has_the_same_gradients_in_less_memory():
    model = load_backbone("digits_vit")
    images = torch.rand(4, 3, *model.image_size, generator=torch.Generator().manual_seed(0))
    handle = FullLoRA(r=4).attach(model)
    torch.manual_seed(0)
    for parameter in handle.parameters():
        nn.init.normal_(parameter, std=0.1)
    assert same(recomputed(model, images), gradients(model, images))
    assert held(model, images, recomputing()) < 0.6 * held(model, images, contextlib.nullcontext())


def test_the_weights_of_the_forward_are_those_of_its_recomputation(tokens):
    torch.manual_seed(0)
    block = Block()
    other = {"norm.weight": torch.full((8,), 2.0), "norm.bias": torch.full((8,), 0.5)}

    def gradient(context):
        with context:
            loss = functional_call(block, other, (tokens,)).square().sum()
        return torch.autograd.grad(loss, block.up.weight)[0]

    kept = gradient(torch.enable_grad())
    assert torch.equal(gradient(recomputing()), kept)


def test_under_autocast_too(tokens):
    torch.manual_seed(0)
    block = Block()

    def under(run):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return run(block, tokens)

    assert same(under(recomputed), under(gradients))


def test_an_address_used_again_is_not_mistaken(tokens):
    """What a GELU returned is gone when something else of its size takes its place."""
    torch.manual_seed(0)
    act, layer = nn.GELU(), nn.Linear(8, 8)
    x = tokens.clone().requires_grad_()
    with recomputing():
        for _ in range(20):
            act(x)
            other = (x.detach() * 3).contiguous()
            (gradient,) = torch.autograd.grad(layer(other).sum(), layer.weight)
            torch.testing.assert_close(gradient[0], other.sum((0, 1)))


def test_hooks_outside_see_what_is_left_to_keep(tokens):
    torch.manual_seed(0)
    seen, block = [], Block()
    with saving(lambda t: seen.append(t) or t, lambda t: t), recomputing():
        block(tokens).sum().backward()
    assert len({t.data_ptr() for t in seen if t.numel() == 35 * 32}) == 1  # the GELU's input, not its output


def test_no_hook_stays(tokens):
    block = Block()
    before = dict(torch.nn.modules.module._global_forward_hooks)
    with pytest.raises(RuntimeError), recomputing():
        block(tokens[..., :3])
    assert dict(torch.nn.modules.module._global_forward_hooks) == before


def test_a_change_in_place_of_what_is_needed_is_refused(tokens):
    act, layer = nn.GELU(), nn.Linear(8, 8)
    with recomputing():
        doubled = tokens.clone().requires_grad_() * 2
        output = layer(act(doubled))
        doubled.mul_(3)
    with pytest.raises(RuntimeError, match="changed in place"):
        output.sum().backward()
