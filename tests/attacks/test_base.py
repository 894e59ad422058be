import pytest
import torch
from torch import nn
from torch.nn import functional as F

from robustpeft.attacks import FGSM
from robustpeft.attacks.base import _rounded_towards
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


def test_a_number_is_no_threat_and_a_list_no_ids():
    images, labels = torch.rand(2, 3, 4, 4), torch.tensor([0, 1])
    with pytest.raises(UserError, match=r"threat must be a norm with a radius, for example Linf\(8 / 255\); got 0.1"):
        FGSM()(lambda images: images.mean((2, 3)), images, labels, 0.1)
    for ids, got in (
        ([0, 1], "list"),
        (torch.tensor([0.0, 1.0]), r"torch.float32 \(2,\)"),
        (torch.tensor([0, 1], dtype=torch.complex64), r"torch.complex64 \(2,\)"),
        (torch.tensor([0]), r"torch.int64 \(1,\)"),
    ):
        with pytest.raises(UserError, match=rf"ids must be integers of shape \(2,\), one per image; got {got}$"):
            FGSM()(lambda images: images.mean((2, 3)), images, labels, Linf(0.1), ids=ids)


def every_value(dtype):
    """Return all values of a half precision on [0, 1]; they are ordered as their bits are."""
    return torch.arange(int(torch.ones(1, dtype=dtype).view(torch.int16)) + 1, dtype=torch.int16).view(dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_what_was_found_is_rounded_to_the_last_value_on_the_way_from_the_image(dtype):
    generator = torch.Generator().manual_seed(0)
    values = every_value(dtype)
    # Even over [0, 1], even over all float32 from the smallest to 1, and what needs no rounding.
    bits = torch.randint(0x3F800000 + 1, (20_000,), generator=generator, dtype=torch.int32)
    ends = torch.tensor([0.0, 1.0, 2.0**-149, 2.0**-26, 1 - 2.0**-24])
    found = torch.cat([torch.rand(20_000, generator=generator), bits.view(torch.float32), values.float(), ends])
    for images in (
        values[torch.randint(len(values), found.shape, generator=generator)],
        torch.rand(found.shape, generator=generator).to(dtype),
        torch.zeros_like(found, dtype=dtype),
        torch.ones_like(found, dtype=dtype),
    ):
        lattice, point = values.double(), found.double()
        below = lattice[torch.searchsorted(lattice, point, right=True) - 1]
        above = lattice[torch.searchsorted(lattice, point)]
        wanted = torch.where(point > images.double(), below, above)
        assert torch.equal(_rounded_towards(found, images).double(), wanted)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_images_in_half_precision_stay_in_ball_and_box_in_float64(linear, dtype):
    generator = torch.Generator().manual_seed(2)
    images = torch.cat([torch.rand(60, 3, 2, 2, generator=generator), torch.zeros(2, 3, 2, 2), torch.ones(2, 3, 2, 2)])
    images, labels = images.to(dtype), torch.arange(64) % 3
    found = FGSM()(lambda points: linear(points.float()), images, labels, Linf(8 / 255))
    moved = (found.double() - images.double()).abs()
    assert found.dtype == dtype
    assert 0 <= found.min() <= found.max() <= 1
    assert moved.max() <= 8 / 255
    inner = (images > 0.1) & (images < 0.9)
    assert (moved[inner] >= 8 / 255 - torch.finfo(dtype).eps / 2).all()  # which is the largest step there
