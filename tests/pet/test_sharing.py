import pytest
import torch
from torch import nn

from robustpeft.backbones import Backbone, wrap
from robustpeft.pet import VPT, AdaptFormer, Full, FullLoRA, LoRA, NormsAndBiases, share
from robustpeft.types import UserError


def pointers(model):
    return {name: p.data_ptr() for name, p in model.network.named_parameters()}


def test_the_tree_is_new_and_every_tensor_is_the_same(model, images):
    twin = share(model)
    assert torch.equal(twin(images), model(images))
    assert pointers(twin) == pointers(model)
    assert not {id(m) for m in twin.modules()} & {id(m) for m in model.modules()}
    assert not {id(p) for p in twin.parameters()} & {id(p) for p in model.parameters()}
    assert twin.normalize.mean is model.normalize.mean
    assert twin.seams == model.seams


@pytest.mark.parametrize(
    "method",
    [FullLoRA(r=2) + NormsAndBiases(), Full(), AdaptFormer(bottleneck=4), VPT(num_prompts=2)],
    ids=lambda m: type(m).__name__,
)
def test_tuning_one_leaves_the_other_as_it_was_to_the_last_bit(build, images, method):
    model = build()
    twin = share(model)
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    logits, required = model(images), [p.requires_grad for p in model.parameters()]
    handle = method.attach(twin)
    handle.train()
    optimizer = torch.optim.SGD(handle.parameters(), lr=0.5)
    for _ in range(2):
        optimizer.zero_grad()
        twin(images).square().sum().backward()
        optimizer.step()
    handle.train(False)
    assert not torch.equal(twin(images), logits)
    assert torch.equal(model(images), logits)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == required
    assert all(p.grad is None for p in model.parameters())
    own = {name for name, pointer in pointers(twin).items() if pointers(model).get(name) != pointer}
    assert own == handle.named_parameters().keys()
    handle.detach()
    assert torch.equal(twin(images), logits)
    assert pointers(twin) == pointers(model)


def test_merging_one_leaves_the_other_as_it_was(model, images, shake):
    twin, before = share(model), model(images)
    handle = LoRA(r=2).attach(twin)
    shake(handle)
    handle.merge()
    assert torch.equal(model(images), before)


def test_new_heads_have_the_width_asked_for_and_the_seed_decides_their_values(build, images):
    model = build("deit_tiny_distilled_patch16_224")
    twins = [share(model, num_classes=3, seed=seed) for seed in (1, 1, 2)]
    assert twins[0](images).shape == (3, 3)
    assert (twins[0].num_classes, twins[0].network.num_classes, model.num_classes) == (3, 3, 5)
    heads = [t.network.head_dist.weight for t in twins]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    assert not torch.equal(heads[0], twins[0].network.head.weight)
    bound = 32**-0.5
    assert 0.8 * bound < float(heads[0].abs().max().detach()) <= bound
    shared = {name for name, pointer in pointers(twins[0]).items() if pointers(model)[name] == pointer}
    assert pointers(model).keys() - shared == {f"{h}.{n}" for h in ("head", "head_dist") for n in ("weight", "bias")}


def test_the_head_stays_if_it_has_the_width_already(model):
    assert share(model, num_classes=5).network.head.weight.data_ptr() == model.network.head.weight.data_ptr()


def test_the_value_that_builds_it_again_knows_the_classes():
    model = Backbone(weights=False).load()
    assert share(model, num_classes=3).origin == Backbone(weights=False, num_classes=3)
    assert share(model).origin == model.origin == Backbone(weights=False)


def test_running_statistics_are_not_shared():
    model = wrap(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten()))
    twin = share(model).train()
    twin(torch.rand(2, 3, 4, 4))
    assert not model.network[1].running_mean.any()


def test_what_cannot_be_shared_is_refused(build):
    model = build()
    with pytest.raises(UserError, match="num_classes must be at least 1; got 0"):
        share(model, num_classes=0)
    LoRA(r=2).attach(model)
    with pytest.raises(UserError, match="carries 1 attachment"):
        share(model)
    with pytest.raises(UserError, match="has no head that is known"):
        share(wrap(nn.Flatten()), num_classes=2)
    other = build()
    other.network.head = nn.Bilinear(32, 1, 5)
    with pytest.raises(UserError, match="the head head is a Bilinear, not a Linear that could be replaced"):
        share(other, num_classes=2)


def test_a_new_head_may_have_one_class_and_has_the_type_of_the_old(build):
    twin = share(build().double(), num_classes=1)
    assert twin.network.head.weight.shape == (1, 32)
    assert twin.network.head.weight.dtype == torch.float64
    assert twin.network.head.bias.shape == (1,)


def test_a_head_within_another_module_is_replaced_in_its_place(build, images):
    model = build("swin_tiny_patch4_window7_224", depths=(1, 1), num_heads=(2, 2), window_size=2, depth=None)
    twin = share(model, num_classes=3)
    assert twin.network.head.fc.weight.shape[0] == 3
    assert twin(images).shape == (3, 3)


def test_a_twin_keeps_what_requires_gradients_and_new_heads_the_kind_of_the_old(model):
    model.network.blocks[0].attn.qkv.weight.requires_grad_(False)
    model.network.head = nn.Linear(32, 5, bias=False).eval()
    model.classes = tuple("abcde")
    twin = share(model, num_classes=3)
    assert not twin.network.blocks[0].attn.qkv.weight.requires_grad
    assert twin.network.blocks[1].attn.qkv.weight.requires_grad
    assert twin.network.head.bias is None
    assert not twin.network.head.training
    assert twin.classes == ()
    assert share(model).classes == model.classes
