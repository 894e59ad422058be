import pytest
import torch

from robustpeft.pet.prompts import Prompts, WithoutPrompts

SEQUENCE = torch.arange(2 * 6 * 3.0).reshape(2, 6, 3)
START = -torch.arange(1.0, 7.0).reshape(2, 3)


@pytest.mark.parametrize("prefix", [0, 1, 5])
def test_the_prompts_stand_between_the_prefix_and_the_patches(prefix):
    found = Prompts(START.clone(), prefix, 0.0, replace=False)(SEQUENCE)
    assert torch.equal(found[:, :prefix], SEQUENCE[:, :prefix])
    assert torch.equal(found[:, prefix : prefix + 2], START.expand(2, 2, 3))
    assert torch.equal(found[:, prefix + 2 :], SEQUENCE[:, prefix:])


@pytest.mark.parametrize("prefix", [0, 1, 5])
def test_taking_them_out_is_the_way_back(prefix):
    longer = Prompts(START.clone(), prefix, 0.0, replace=False)(SEQUENCE)
    assert torch.equal(WithoutPrompts(prefix, 2)(longer), SEQUENCE)


@pytest.mark.parametrize("prefix", [0, 1, 4])
def test_replacing_leaves_everything_but_their_places_alone(prefix):
    found = Prompts(START.clone(), prefix, 0.0, replace=True)(SEQUENCE)
    wanted = SEQUENCE.clone()
    wanted[:, prefix : prefix + 2] = START
    assert torch.equal(found, wanted)


def test_switched_off_they_return_the_very_sequence():
    for module in (Prompts(START.clone(), 1, 0.5, replace=True), WithoutPrompts(1, 2)):
        module.enabled = False
        assert module(SEQUENCE) is SEQUENCE


def test_dropout_is_drawn_for_each_image_and_in_training_only():
    module = Prompts(torch.ones(40, 3), 1, 0.5, replace=False)
    torch.manual_seed(0)
    one, other = module(SEQUENCE)[:, 1:41]
    assert not torch.equal(one, other)
    assert set(one.flatten().tolist()) == {0.0, 2.0}
    assert torch.equal(module.eval()(SEQUENCE)[:, 1:41], torch.ones(2, 40, 3))


def test_what_is_trained_is_theirs_alone():
    assert dict(WithoutPrompts(1, 2).named_parameters()) == {}
    module = Prompts(START.clone(), 1, 0.0, replace=False)
    module(SEQUENCE).sum().backward()
    assert torch.equal(module.tokens.grad, torch.full((2, 3), 2.0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_sequence_keeps_its_precision_and_so_do_they(dtype):
    module = Prompts(START.clone(), 1, 0.0, replace=False)
    assert module(SEQUENCE.to(dtype)).dtype == dtype
    assert module.tokens.dtype == torch.float32
