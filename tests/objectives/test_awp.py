import copy

import pytest
import timm
import torch
from torch.nn import functional as F

from robustpeft.attacks import PGD
from robustpeft.backbones import ImageClassifier, Normalize, find_seams
from robustpeft.objectives import AWP, TRADES, Natural, PgdAt
from robustpeft.pet import VPT, Adapter, AdaptFormer, Combined, LNLoRA
from robustpeft.types import Linf, UserError

PGD_AT = PgdAt(PGD(steps=3, step_size=0.04, keep="last"))


def test_it_equals_a_direct_transcription_of_the_paper(model, images, labels):
    model[1].bias.requires_grad_(False)
    threat, gamma = Linf(0.1), 0.05
    x = PGD_AT.lesson(model, images, labels, threat, seed=5).attacked
    other = copy.deepcopy(model)
    F.cross_entropy(other(x), labels).backward()
    with torch.no_grad():
        for layer in (other[1], other[4]):  # weight matrices; biases are not perturbed
            layer.weight += gamma * layer.weight.norm() * layer.weight.grad / layer.weight.grad.norm()
    other.zero_grad()
    wanted = F.cross_entropy(other(x), labels)
    wanted.backward()
    before = F.cross_entropy(model(x), labels).detach()

    loss = AWP(PGD_AT, gamma)(model, images, labels, threat, seed=5)
    loss.total.backward()
    torch.testing.assert_close(loss.total, wanted)
    assert loss.total > before
    torch.testing.assert_close(loss.parts["loss_before_weight_perturbation"], before)
    torch.testing.assert_close(loss.parts["adversarial_cross_entropy"], wanted.detach())
    assert model[1].bias.grad is None
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        if mine.requires_grad:
            torch.testing.assert_close(mine.grad, theirs.grad)


def test_weights_and_gradients_are_left_alone_also_when_it_raises(model, images, labels):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    AWP(PGD_AT, 0.1)(model, images, labels, Linf(0.1))
    assert all(p.grad is None for p in model.parameters())
    forwards = []

    def stop_at_the_perturbed_weights(module, args):
        forwards.append(not torch.equal(module.weight, before["4.weight"]))
        if forwards[-1]:
            raise RuntimeError("stop")

    model[4].register_forward_pre_hook(stop_at_the_perturbed_weights)
    with pytest.raises(RuntimeError, match="stop"):
        AWP(PGD_AT, 0.1)(model, images, labels, Linf(0.1))
    assert forwards == [False] * 4 + [True]  # three steps of the attack, the gradient, the perturbed weights
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [name for name, _ in model.named_parameters()] == ["1.weight", "1.bias", "4.weight", "4.bias"]


@pytest.mark.parametrize(
    "method", [Combined((VPT(num_prompts=2, deep=True), AdaptFormer(bottleneck=4), LNLoRA(r=2))), Adapter(bottleneck=3)]
)
def test_hooks_prompts_and_branches_run_with_the_perturbed_weights(method):
    torch.manual_seed(0)
    network = timm.create_model(
        "vit_tiny_patch16_224", num_classes=3, img_size=8, patch_size=4, embed_dim=16, depth=2, num_heads=2
    )
    model = ImageClassifier(network, Normalize((0.5,) * 3, (0.5,) * 3), seams=find_seams(network))
    trained = {f"network.{name}": p for name, p in method.attach(model).named_parameters().items()}
    with torch.no_grad():
        for parameter in trained.values():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    model.eval()
    images, labels = torch.rand(3, 3, 8, 8), torch.tensor([0, 1, 2])
    x = PGD_AT.lesson(model, images, labels, Linf(0.1)).attacked

    other = copy.deepcopy(model)
    theirs = {name: p for name, p in other.named_parameters() if p.requires_grad}
    F.cross_entropy(other(x), labels).backward()
    with torch.no_grad():
        for parameter in theirs.values():
            if parameter.ndim > 1:
                parameter += 0.05 * parameter.norm() * parameter.grad / parameter.grad.norm()
    other.zero_grad()
    F.cross_entropy(other(x), labels).backward()

    AWP(PGD_AT, 0.05)(model, images, labels, Linf(0.1)).total.backward()
    assert trained.keys() == theirs.keys()
    for name, parameter in trained.items():
        torch.testing.assert_close(parameter.grad, theirs[name].grad, msg=name)


def test_a_matrix_of_zeros_stays_as_it_is(model, images, labels):
    torch.nn.init.zeros_(model[4].weight)
    found = AWP(PGD_AT, 0.1)(model, images, labels, Linf(0.1)).total
    assert torch.isfinite(found)
    torch.testing.assert_close(found, PGD_AT(model, images, labels, Linf(0.1)).total)


def test_any_objective_with_an_adversary_may_be_inside(model, images, labels):
    plain = TRADES()(model, images, labels, Linf(0.1)).total
    assert AWP(TRADES(), 0.05)(model, images, labels, Linf(0.1)).total > plain


def test_without_an_adversary_there_is_nothing_to_perturb_against(model, images, labels):
    with pytest.raises(UserError, match="awp perturbs weights where there are adversarial images"):
        AWP(Natural())
    assert AWP(PGD_AT, 0.5)(model, images, labels, Linf(0.0)).parts.keys() == {
        "adversarial_cross_entropy",
        "adversarial_accuracy",
    }


def test_what_has_no_weights_is_refused(model, images, labels):
    with pytest.raises(UserError, match="awp perturbs the weights of a torch module; got function"):
        AWP(PGD_AT)(lambda x: 2 * model(x), images, labels, Linf(0.1))


def test_the_default_is_the_papers():
    assert AWP() == AWP(PgdAt(), gamma=0.005)
    assert AWP().adversarial is True


@pytest.mark.parametrize("gamma", [-0.1, float("nan")])
def test_a_negative_gamma_is_refused(gamma):
    with pytest.raises(UserError, match="gamma must be at least 0"):
        AWP(gamma=gamma)


class WithSpare(torch.nn.Module):
    """Has a matrix that its answer does not use, like the head of a task that is not this one."""

    def __init__(self, model):
        super().__init__()
        self.model, self.spare = model, torch.nn.Linear(3, 3)

    def forward(self, images):
        return self.model(images)


def test_a_weight_without_a_part_in_the_loss_changes_nothing(model, images, labels, same_gradients):
    wanted = AWP(PGD_AT, 0.05)(model, images, labels, Linf(0.1), seed=5).total
    both = WithSpare(model)
    loss = AWP(PGD_AT, 0.05)(both, images, labels, Linf(0.1), seed=5).total
    same_gradients(model, loss, wanted)
    AWP(PGD_AT, 0.05)(both, images, labels, Linf(0.1), seed=5).total.backward()
    assert both.spare.weight.grad is None
    assert model[1].weight.grad is not None


def test_no_perturbation_is_one_too(model, images, labels, same_gradients):
    wanted = PGD_AT(model, images, labels, Linf(0.1), seed=5).total
    same_gradients(model, AWP(PGD_AT, gamma=0.0)(model, images, labels, Linf(0.1), seed=5).total, wanted)
