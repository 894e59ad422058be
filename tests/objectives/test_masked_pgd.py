import pytest
import torch
from torch.nn import functional as F

from robustpeft.attacks import PGD
from robustpeft.attacks.target import Target
from robustpeft.objectives.masked_pgd import MaskedPGD
from robustpeft.types import L2, Linf, Noise

EPSILON, STEP = 0.1, 0.04


@pytest.fixture
def target(images, labels):
    return Target(images, labels, Linf(EPSILON), Noise(5, torch.arange(4), "MaskedPGD"))


def passes(model, target, attack):
    """Return where the search looked, and where it ended."""
    looked = []

    def view(points):
        looked.append(points.detach().clone())
        return model(points)

    return looked, attack.search(view, target)


def test_every_pass_begins_where_the_last_ended_but_for_the_patches_that_are_forgotten(model, images, labels, target):
    looked, end = passes(model, target, MaskedPGD(steps=4, step_size=STEP, forget=0.5, patch_size=2))
    assert len(looked) == 4
    forgotten = []
    for here, after in zip(looked, [*looked[1:], end], strict=True):
        point = here.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(point), labels, reduction="sum"), point)
        moved = here + STEP * gradient.sign()
        moved = torch.minimum(torch.maximum(moved, images - EPSILON), images + EPSILON).clamp(0, 1)
        kept = (after - moved).abs() < 1e-6
        assert torch.equal(after[~kept], images[~kept])
        forgotten.append(~kept)
    assert not forgotten[-1].any()
    for mask in forgotten[:-1]:
        cells = mask.any(1).reshape(4, 2, 2, 2, 2).any(4).any(2)
        assert cells.flatten(1).sum(1).tolist() == [2, 2, 2, 2]
        assert not torch.equal(cells[0], cells[1]) or not torch.equal(cells[0], cells[2])
    assert any(not torch.equal(forgotten[0], mask) for mask in forgotten[1:-1])
    untouched = (looked[0] == images).all(1).reshape(4, 2, 2, 2, 2).all(4).all(2)
    assert untouched.flatten(1).sum(1).tolist() == [2, 2, 2, 2]


def test_without_forgetting_it_is_pgd(model, target):
    found = passes(model, target, MaskedPGD(steps=3, step_size=STEP))[1]
    assert torch.equal(found, PGD(steps=3, step_size=STEP, keep="last").search(model, target))


def test_the_default_step_is_that_of_pgd(model, images, labels):
    target = Target(images, labels, L2(0.5), Noise(5, torch.arange(4), "MaskedPGD"))
    assert torch.equal(MaskedPGD(steps=3).search(model, target), PGD(steps=3, keep="last").search(model, target))


def test_who_forgets_everything_takes_one_step(model, images, labels, target):
    looked, end = passes(model, target, MaskedPGD(steps=3, step_size=STEP, forget=1.0, patch_size=2))
    assert all(torch.equal(points, images) for points in looked)
    point = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(point), labels), point)
    torch.testing.assert_close(end, (images + STEP * gradient.sign()).clamp(0, 1))
