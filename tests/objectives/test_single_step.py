import pytest
import torch
from torch.nn import functional as F

from robustpeft.attacks import FGSM
from robustpeft.objectives import SingleStep, Smoothing
from robustpeft.types import L2, Linf, Noise, UserError, content_ids

EPSILON = 0.1


def step_by_hand(model, images, labels, start, step, seed, epsilon=EPSILON, smoothing=0.0):
    noise = Noise(seed, content_ids(images), "SingleStep").uniform((3, 4, 4)) * 2 - 1
    x = (images + start * epsilon * noise).clamp(0, 1).requires_grad_()
    loss = F.cross_entropy(model(x), labels, reduction="sum", label_smoothing=smoothing)
    (gradient,) = torch.autograd.grad(loss, x)
    return (x.detach() + step * epsilon * gradient.sign()).clamp(0, 1)


def test_it_equals_fast_adversarial_training(model, images, labels, same_gradients):
    x = step_by_hand(model, images, labels, 1.0, 1.25, 5)
    x = torch.minimum(torch.maximum(x, images - EPSILON), images + EPSILON)
    loss = SingleStep()(model, images, labels, Linf(EPSILON), seed=5)
    same_gradients(model, loss.total, F.cross_entropy(model(x), labels))
    assert loss.parts["adversarial_accuracy"] == (model(x).argmax(1) == labels).float().mean()
    torch.testing.assert_close(loss.parts["adversarial_cross_entropy"], loss.total.detach())


def test_it_equals_n_fgsm(model, images, labels, same_gradients):
    x = step_by_hand(model, images, labels, 2.0, 1.0, 5)
    objective = SingleStep(start=2, step=1, inside=False)
    same_gradients(
        model, objective(model, images, labels, Linf(EPSILON), seed=5).total, F.cross_entropy(model(x), labels)
    )
    lesson = objective.lesson(model, images, labels, Linf(EPSILON), seed=5)
    assert (lesson.attacked - images).abs().max() > 2 * EPSILON
    assert torch.equal(lesson.images, images)


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.5)], ids=str)
def test_inside_means_within_the_threat(model, images, labels, threat):
    lesson = SingleStep(start=2)
    found = lesson.lesson(model, images, labels, threat).attacked
    assert (threat.size(found - images) <= threat.epsilon * (1 + 1e-6)).all()
    assert not torch.equal(found, images)


def test_it_costs_two_forwards(model, images, labels):
    calls = []
    model.register_forward_pre_hook(lambda module, args: calls.append(1))
    SingleStep()(model, images, labels, Linf(EPSILON))
    assert len(calls) == 2


def test_a_start_beyond_every_image_is_the_largest_there_is(model, images, labels):
    found = SingleStep(start=2, step=2, inside=False).lesson(model, images, labels, Linf(0.8)).attacked
    assert 0 <= found.min() <= found.max() <= 1


@pytest.mark.parametrize(
    "kinds", [{"start": -1.0}, {"step": 0.0}, {"step": float("inf")}, {"start": float("nan")}, {"start": float("inf")}]
)
def test_sizes_that_mean_nothing_are_refused(kinds):
    with pytest.raises(UserError, match="start must be at least 0 and step positive"):
        SingleStep(**kinds)


def test_without_a_start_it_is_fgsm(model, images, labels):
    found = SingleStep(start=0, step=1).lesson(model, images, labels, Linf(EPSILON)).attacked
    torch.testing.assert_close(found, FGSM()(model, images, labels, Linf(EPSILON)))


def test_without_an_adversary_it_is_the_natural_loss(model, images, labels, same_gradients):
    lesson = SingleStep().lesson(model, images, labels, Linf(0.0))
    assert lesson.adversarial is None
    same_gradients(model, SingleStep().loss(model, lesson).total, F.cross_entropy(model(images), labels))


def test_an_adversary_who_may_do_anything_is_one(model, images, labels):
    found = SingleStep(step=0.5).lesson(model, images, labels, Linf(1.0), seed=5).attacked
    torch.testing.assert_close(found, step_by_hand(model, images, labels, 1.0, 0.5, 5, epsilon=1.0))


def test_smoothed_labels_are_attacked_as_such(model, images, labels):
    objective = SingleStep(start=1.0, step=1.0, inside=False)
    found = Smoothing(objective, 0.9).lesson(model, images, labels, Linf(0.3), seed=5).attacked
    wanted = step_by_hand(model, images, labels, 1.0, 1.0, 5, epsilon=0.3, smoothing=0.9)
    torch.testing.assert_close(found, wanted)
    assert not torch.allclose(objective.lesson(model, images, labels, Linf(0.3), seed=5).attacked, wanted)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_images_keep_their_precision(model, images, labels, dtype):
    found = SingleStep().lesson(model.to(dtype), images.to(dtype), labels, Linf(EPSILON)).attacked
    assert found.dtype == dtype
    assert not torch.equal(found, images.to(dtype))
