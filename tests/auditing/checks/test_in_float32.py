import torch
from torch import nn

from robustpeft.auditing.checks.in_float32 import InFloat32


def autocast(layer, values):
    with torch.autocast("cpu", torch.bfloat16):
        return layer(values)


def test_products_under_autocast_are_those_of_float32():
    torch.manual_seed(0)
    layer, values = nn.Sequential(nn.Linear(20, 30), nn.GELU(), nn.Linear(30, 5)), torch.rand(4, 20)
    plain = layer(values)
    rounded = autocast(layer, values)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - plain).abs().max() > 1e-4
    with InFloat32():
        exact = autocast(layer, values)
    assert exact.dtype == torch.float32
    assert torch.equal(exact, plain)
    assert autocast(layer, values).dtype == torch.bfloat16  # it ends with the block


def test_gradients_flow_as_without_the_cast():
    values = torch.rand(4, 20, requires_grad=True)
    weight = torch.randn(20, 5)
    with InFloat32():
        (found,) = torch.autograd.grad((values.to(torch.bfloat16) @ weight.half().float()).sum(), values)
    (true,) = torch.autograd.grad((values @ weight).sum(), values)
    assert torch.equal(found, true)


def test_what_else_rounds_still_rounds():
    with InFloat32():
        assert torch.equal(torch.tensor([0.26]).mul(8).round().div(8), torch.tensor([0.25]))
        assert torch.tensor([0.7]).to(torch.uint8).dtype == torch.uint8
