import pytest
import torch
from torch.nn import functional as F

from robustpeft.attacks import PGD
from robustpeft.attacks.target import Target
from robustpeft.objectives.masked_pgd import MaskedPGD
from robustpeft.types import L2, Linf, Noise, UserError

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


def test_what_is_forgotten_at_the_start_says_nothing_about_the_first_step_nor_about_the_start(model, images, target):
    looked, _ = passes(model, target, MaskedPGD(steps=2, step_size=STEP, forget=0.5, patch_size=1))
    first, second = ((points == images).all(1).flatten(1) for points in looked)
    assert first.sum(1).tolist() == second.sum(1).tolist() == [8] * 4
    assert not (first == second).all(1).any()
    red = MaskedPGD(steps=1, step_size=STEP).init(target).points[:, 0].flatten(1) - images[:, 0].flatten(1)
    lowest = red.argsort(1).argsort(1) < 8
    assert not (first == lowest).all(1).any()
    assert not (second == lowest).all(1).any()


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"step_size": 0.0}, "step_size must be above 0"),
        ({"forget": -0.1}, r"forget must be in \[0, 1\]"),
        ({"forget": 1.1}, r"forget must be in \[0, 1\]"),
        ({"patch_size": 0}, "patch_size must be at least 1"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(kinds, message):
    with pytest.raises(UserError, match=message):
        MaskedPGD(**kinds)
