import pytest
from torch import nn

from robustpeft.backbones.seam_reading import (
    children_of,
    linear_heads,
    norms_of,
    parameters_among,
    prenorm_residual,
    sites_that_exist,
)
from robustpeft.types import Residual, Site


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 2)
        self.layers = nn.Sequential(*(nn.Linear(2, 2) for _ in range(11)))
        self.norm, self.rms, self.batch = nn.LayerNorm(2), nn.RMSNorm(2), nn.BatchNorm2d(2)
        self.token = nn.Parameter(self.layers[0].weight.detach())
        self.register_buffer("grid", self.layers[0].weight.detach())
        self.head, self.other = nn.Linear(2, 2), nn.Identity()


@pytest.fixture(scope="module")
def net():
    return Net()


def test_children_come_in_order_also_those_with_two_digits(net):
    assert children_of(net, "layers") == tuple(f"layers.{i}" for i in range(11))


def test_sites_are_linear_layers_and_convolutions_in_the_order_given(net):
    sites = [Site("fc1", "layers.3"), Site("q", "norm"), Site("k", "nowhere"), Site("patch_embed", "stem")]
    assert sites_that_exist(net, sites) == (sites[0], sites[3])


def test_a_head_that_is_no_linear_layer_is_none(net):
    assert linear_heads(net, "other", "head", "nowhere") == ("head",)


def test_norms_are_those_of_transformers(net):
    assert norms_of(net) == ("norm", "rms")


def test_a_buffer_is_no_parameter(net):
    assert parameters_among(net, "grid", "token", "nowhere", "head.bias") == ("token", "head.bias")


def test_layer_scales_that_are_missing_or_do_nothing_are_left_out():
    def block(**more):
        return nn.ModuleDict(
            {"b": nn.ModuleDict({n: nn.Linear(1, 1) for n in ("norm1", "attn", "norm2", "mlp")} | more)}
        )

    plain = Residual(("b.norm1", "b.attn"), ("b.norm2", "b.mlp"), 5)
    assert prenorm_residual(block(), "b", 5) == plain
    assert prenorm_residual(block(ls1=nn.Identity(), ls2=nn.Identity()), "b", 5) == plain
    scaled = Residual(("b.norm1", "b.attn", "b.ls1"), ("b.norm2", "b.mlp", "b.ls2"), 5)
    assert prenorm_residual(block(ls1=nn.Linear(1, 1), ls2=nn.Linear(1, 1)), "b", 5) == scaled
