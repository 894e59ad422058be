import pytest
import timm
import torch

from robustpeft.backbones import ImageClassifier, Normalize, find_seams
from robustpeft.objectives.attention_gates import AttentionGates
from robustpeft.pet import Adapter
from robustpeft.types import UserError

NAMES = ("vit_tiny_patch16_224", "vit_small_patch14_reg4_dinov2")  # without and with LayerScale


def build(name=NAMES[0], depth=2):
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=3, img_size=8, patch_size=4, embed_dim=16, depth=depth, num_heads=2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return ImageClassifier(network, Normalize((0.5,) * 3, (0.5,) * 3), seams=find_seams(network)).eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def gradient(call, images):
    point = images.clone().requires_grad_()
    logits = call(point)
    return logits.detach(), torch.autograd.grad(logits[:, 0].sum(), point)[0]


def through_open_branches(model, open_):
    """Return the logits, written out; the attention of a closed block counts, its gradient does not."""

    def call(images):
        net = model.network
        x = net.norm_pre(net.patch_drop(net._pos_embed(net.patch_embed(model.normalize(images)))))
        for block, is_open in zip(net.blocks, open_, strict=True):
            branch = block.ls1(block.attn(block.norm1(x)))
            x = x + (branch if is_open else branch.detach())
            x = x + block.ls2(block.mlp(block.norm2(x)))
        return net.forward_head(net.norm(x))

    return call


@pytest.mark.parametrize("name", NAMES)
def test_open_branches_are_as_ever(images, name):
    model = build(name)
    found = gradient(AttentionGates(model.attack_view(), 1.0, seed=0), images)
    torch.testing.assert_close(found, gradient(model, images))


@pytest.mark.parametrize("name", NAMES)
def test_closed_branches_answer_but_carry_no_gradient(images, name):
    model = build(name)
    gates = AttentionGates(model.attack_view(), 0.0, seed=0)
    cases = [gradient(through_open_branches(model, open_), images) for open_ in ([True, False], [False, True])]
    drawn = set()
    for _ in range(12):  # one is open, not always the same
        logits, found = gradient(gates, images)
        torch.testing.assert_close(logits, gradient(model, images)[0])
        drawn.add([torch.allclose(found, case, rtol=1e-3, atol=1e-6) for _, case in cases].index(True))
        assert found.abs().amax() > 0
    assert drawn == {0, 1}


def test_branches_are_drawn_anew_in_every_call_by_the_seed(images):
    model = build()
    cases = {tuple(open_): gradient(through_open_branches(model, open_), images)[1] for open_ in choices(2)}

    def draws(seed):
        gates = AttentionGates(model.attack_view(), 0.5, seed)
        found = [gradient(gates, images)[1] for _ in range(80)]
        return [next(open_ for open_, case in cases.items() if torch.allclose(case, one)) for one in found]

    drawn = draws(0)
    assert draws(0) == drawn
    assert draws(1) != drawn
    counts = [drawn.count(open_) for open_ in cases]  # none, the first, the second, both
    assert counts[0] == 0
    assert all(18 <= count <= 42 for count in counts[1:3])
    assert 10 <= counts[3] <= 30


def choices(n):
    return [[bool(number >> i & 1) for i in range(n)] for number in range(2**n)]


def test_what_is_inserted_into_the_branches_still_runs_and_the_model_keeps_no_hook(images):
    model = build()
    handle = Adapter(bottleneck=3).attach(model)  # within the attention branch, by hooks
    with torch.no_grad():
        for parameter in handle.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    handle.train(False)
    hooks = [len(module._forward_hooks) for module in model.modules()]
    logits, ordinary = gradient(model, images)
    found = gradient(AttentionGates(model.attack_view(), 0.0, seed=0), images)
    torch.testing.assert_close(found[0], logits)
    assert not torch.allclose(found[1], ordinary)
    assert [len(module._forward_hooks) for module in model.modules()] == hooks
    torch.testing.assert_close(gradient(model, images)[1], ordinary)


def test_a_model_of_unknown_attention_is_refused(images):
    model = build()
    model.seams = None
    for view in (model.attack_view(), torch.nn.Flatten()):
        with pytest.raises(UserError, match="attention branches of this model are is not known"):
            AttentionGates(view, 0.5, seed=0)


@pytest.mark.parametrize(("name", "last"), [(NAMES[0], "attn"), (NAMES[1], "ls1")])
def test_a_gate_is_the_last_thing_in_its_branch(name, last):
    view = build(name).attack_view()
    AttentionGates(view, 0.5, seed=0)
    gated = [path for path, module in view.network.named_modules() if module._forward_hooks]
    assert gated == [f"blocks.0.{last}", f"blocks.1.{last}"]


def test_until_it_is_called_every_branch_is_open(images):
    model = build()
    view = model.attack_view()
    AttentionGates(view, 0.0, seed=0)
    torch.testing.assert_close(gradient(view, images), gradient(model, images))
