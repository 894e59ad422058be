import pytest
import torch
from torch.nn import functional as F

from robustpeft.attacks import PGD
from robustpeft.objectives import MART, Lesson, Smoothing, Targets
from robustpeft.types import Linf, UserError


def test_it_equals_a_direct_transcription_of_the_paper(model, images, labels, ascend, same_gradients):
    x = ascend(images, lambda x: F.cross_entropy(model(x), labels, reduction="none"), 0.1, 3, 0.04, 5)
    p, q = model(images).softmax(1), model(x).softmax(1)
    terms = []
    for i, y in enumerate(labels.tolist()):
        wrong = max(q[i, k] for k in range(3) if k != y)
        boosted = -torch.log(q[i, y]) - torch.log(1 - wrong)
        divergence = sum(p[i, k] * torch.log(p[i, k] / q[i, k]) for k in range(3))
        terms.append(boosted + 2.5 * divergence * (1 - p[i, y]))
    objective = MART(PGD(steps=3, step_size=0.04, keep="last"), beta=2.5)
    loss = objective(model, images, labels, Linf(0.1), seed=5)
    same_gradients(model, loss.total, torch.stack(terms).mean())
    parts = loss.parts["boosted_cross_entropy"] + 2.5 * loss.parts["weighted_divergence"]
    torch.testing.assert_close(parts, loss.total.detach())
    assert loss.parts["adversarial_accuracy"] == (q.argmax(1) == labels).float().mean()


def test_it_is_finite_where_a_wrong_class_is_certain(images, labels):
    logits = torch.tensor([[0.0, 200.0, 0.0]]).repeat(4, 1).requires_grad_()
    loss = MART(PGD(steps=1, keep="last"))(lambda x: logits + 0 * x.sum(), images, labels, Linf(0.1))
    loss.total.backward()
    assert torch.isfinite(loss.total)
    assert torch.isfinite(logits.grad).all()


def test_labels_must_be_single_classes(model, images, labels):
    with pytest.raises(UserError, match="mart needs one class per image"):
        Smoothing(MART())(model, images, labels, Linf(0.1))


def test_the_defaults_are_those_of_mo_et_al():
    assert MART() == MART(PGD(steps=10, keep="last"), beta=6.0)


@pytest.mark.parametrize("beta", [-1.0, float("nan")])
def test_a_negative_weight_is_refused(beta):
    with pytest.raises(UserError, match="beta must be at least 0"):
        MART(beta=beta)


def test_no_weight_is_one(model, images, labels):
    loss = MART(beta=0.0)(model, images, labels, Linf(0.1))
    torch.testing.assert_close(loss.total.detach(), loss.parts["boosted_cross_entropy"])


def test_without_an_adversary_it_is_the_natural_loss(model, images, labels, same_gradients):
    loss = MART()(model, images, labels, Linf(0.0))
    same_gradients(model, loss.total, F.cross_entropy(model(images), labels))
    assert loss.parts == {"cross_entropy": loss.total.detach()}


def test_a_label_without_a_logit_is_refused(model, images, labels):
    lesson = Lesson(images, Targets(labels + 1), torch.arange(4), adversarial=1 - images)
    with pytest.raises(UserError, match=r"labels must be in \[0, 3\); found 1 to 3"):
        MART().loss(model, lesson)
