import pytest
import torch
from torch import nn

from robustpeft.backbones import wrap
from robustpeft.pet import FullLoRA, LinearProbe, LoRA
from robustpeft.types import UserError


def test_a_second_technique_is_refused_until_the_first_is_detached(model):
    handle = LoRA(r=2).attach(model)
    with pytest.raises(UserError, match=r"FullLoRA\(.*cannot be attached: the model already carries LoRA\(r=2.*detach"):
        FullLoRA(r=2).attach(model)
    assert model.attachments == [handle]
    handle.detach()
    FullLoRA(r=2).attach(model)


@pytest.mark.parametrize("module", [nn.Linear(2, 2), "vit", None])
def test_what_is_no_classifier_of_the_library_is_refused(module):
    with pytest.raises(
        UserError, match=r"attach takes a model from rp\.load_backbone or rp\.wrap; got .*: rp\.wrap it"
    ):
        LoRA().attach(module)


def test_a_network_without_known_seams_is_refused_with_what_can_be_done():
    with pytest.raises(UserError, match=r"Linear belongs to no family.*tune it with 'full'"):
        LoRA().attach(wrap(nn.Linear(2, 2)))


@pytest.mark.parametrize("method", [LoRA(r=2), LinearProbe()])
def test_a_network_without_a_head_is_refused(build, method):
    with pytest.raises(UserError, match="no classification head; load it with num_classes"):
        method.attach(build(classes=0))


def test_the_seed_decides_how_it_starts(build):
    def start(seed):
        return LoRA(r=2).attach(build(), seed=seed).state()["blocks.1.attn.qkv.adapter.A.v"]

    assert torch.equal(start(3), start(3))
    assert not torch.equal(start(3), start(4))


def test_no_two_layers_start_alike(model):
    state = LoRA(r=2).attach(model).state()
    starts = [t for name, t in state.items() if ".adapter.A." in name]
    assert len({tuple(t.flatten().tolist()) for t in starts}) == len(starts) == 4
