import pytest
import torch

from robustpeft.attacks import FGSM, PGD, Target, margin
from robustpeft.attacks.evaluation import Reply
from robustpeft.attacks.search import Best, Course, holds
from robustpeft.types import L2, Linf, Noise

HERE = Linf(0.1)


def target(threat=HERE):
    images = torch.full((2, 3, 4, 4), 0.5)
    return Target(images, torch.tensor([0, 1]), threat, Noise(5, torch.tensor([7, 8]), "s"))


@pytest.mark.parametrize(("threat", "reach"), [(Linf(0.1), 0.1), (L2(0.3), 0.3 / 48**0.5)])
def test_holding_is_lying_within_up_to_rounding(threat, reach):
    here = target(threat)
    assert holds(here, here.images + reach).all()
    assert not holds(here, here.images + reach * 1.001).any()


def offer(here, course, *levels):
    best = Best(here, course)
    for points, logits in levels:
        best.offer(Reply(here.images + points, torch.tensor(logits)))
    return best


def test_the_best_is_the_point_of_the_largest_margin_per_image():
    here = target()
    best = offer(here, Course(3), (0.01, [[1.0, 0], [3, 0]]), (0.02, [[1.0, 3], [0, 1]]), (0.03, [[1.0, 2], [1, 1]]))
    moved = (best.images - here.images)[:, 0, 0, 0]
    torch.testing.assert_close(moved, torch.tensor([0.02, 0.01]))
    assert best.margins.tolist() == [2.0, 3.0]


@pytest.mark.parametrize("inside", [True, False])
def test_of_equal_margins_the_first_one_seen_is_kept(inside):
    here = target()
    best = offer(here, Course(2, inside=inside), (0.01, [[1.0, 3], [3, 1]]), (0.02, [[1.0, 3], [3, 1]]))
    torch.testing.assert_close(best.images, here.images + 0.01)


@pytest.mark.parametrize(("every", "wanted"), [(1, "0123"), (2, "02"), (3, "03")])
def test_the_first_so_many_passes_need_a_gradient_or_every_so_many_of_them(every, wanted):
    course = Course(7, gradients=4, every=every)
    assert [number for number in range(7) if course.needs_gradient(number)] == [int(number) for number in wanted]


@pytest.mark.parametrize("inside", [True, False])
def test_what_lies_outside_is_not_best_for_a_search_that_may_look_there(inside):
    here = target()
    best = offer(here, Course(2, inside=inside), (0.05, [[1.0, 0], [0, 1]]), (0.2, [[0.0, 9], [9, 0]]))
    moved = float((best.images - here.images).max())
    assert moved == pytest.approx(0.2 if inside else 0.05)


def test_a_search_takes_every_pass_and_comes_back_with_the_best_it_saw(curved):
    model = curved().eval()
    images = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    labels = model(images).argmax(1)
    model.widths.clear()
    found = PGD(steps=4, restarts=3)(model, images, labels, Linf(0.003))
    assert model.widths == [5] * 15
    assert (margin(model(found), labels) >= margin(model(images), labels)).any()
    model.widths.clear()
    FGSM()(model, images, labels, Linf(0.003))
    assert model.widths == [5]
