import pytest
import torch
from torch import nn
from torch.nn import functional as F

from robustpeft.attacks import FGSM
from robustpeft.attacks.evaluation import evaluate
from robustpeft.attacks.losses import find_loss
from robustpeft.attacks.target import Target
from robustpeft.types import L2, Linf, Noise, UserError


@pytest.fixture(scope="module")
def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).requires_grad_(False)


@pytest.fixture(scope="module")
def images():
    return torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(1))


LABELS = torch.tensor([0, 1, 2, 0])


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.3)], ids=str)
def test_within_is_in_ball_and_box_and_leaves_alone_what_already_is(images, threat):
    target = Target(images, LABELS, threat, Noise(0, LABELS, "test"))
    found = target.within(images + 3 * torch.randn(images.shape, generator=torch.Generator().manual_seed(2)))
    assert 0 <= found.min() <= found.max() <= 1
    assert threat.size((found - images).double()).max() <= threat.epsilon + 1e-6
    torch.testing.assert_close(target.within(found), found, rtol=0, atol=1e-6)


def test_an_evaluation_holds_logits_loss_and_gradient_without_a_graph(linear, images):
    found = evaluate(linear, images, LABELS, find_loss("cross_entropy"))
    logits = linear(images)
    weight = linear[1].weight
    by_hand = ((logits.softmax(1) - F.one_hot(LABELS, 3)) @ weight).reshape(images.shape)
    assert torch.equal(found.logits, logits)
    torch.testing.assert_close(found.loss, F.cross_entropy(logits, LABELS, reduction="none"))
    torch.testing.assert_close(found.gradient, by_hand)
    assert not any(t.requires_grad for t in (found.logits, found.loss, found.gradient))


def test_the_gradient_of_an_image_does_not_shrink_with_its_batch(linear, images):
    together = evaluate(linear, images, LABELS, find_loss("cross_entropy")).gradient
    alone = evaluate(linear, images[:1], LABELS[:1], find_loss("cross_entropy")).gradient
    torch.testing.assert_close(together[:1], alone)


def test_the_candidates_do_not_become_part_of_a_graph(linear, images):
    evaluate(linear, images, LABELS, find_loss("margin"))
    assert not images.requires_grad


def test_labels_must_fit_the_logits(linear, images):
    with pytest.raises(UserError, match=r"labels must be in \[0, 3\); found 0 to 3"):
        evaluate(linear, images, torch.tensor([0, 1, 2, 3]), find_loss("cross_entropy"))


def test_a_gradient_of_exactly_zero_is_said(caplog):
    class Flat(torch.nn.Module):
        def forward(self, images):
            return 1e6 * images.flatten(1)[:, :2]

    images = torch.zeros(3, 3, 2, 2)
    images[:, 0, 0, 0] = 1.0
    FGSM()(Flat(), images, torch.zeros(3, dtype=torch.int64), Linf(0.1))
    assert "3 of 3 images have a gradient of exactly 0" in caplog.text
    caplog.clear()
    FGSM(loss="margin")(Flat(), images, torch.zeros(3, dtype=torch.int64), Linf(0.1))
    assert caplog.text == ""
