import pytest
import torch

from robustpeft.attacks import FGSM, PGD
from robustpeft.attacks.ensemble import Ensemble
from robustpeft.objectives import Lesson, Moment, Targets
from robustpeft.objectives.inner import attacked, soft_measure
from robustpeft.types import Linf, UserError, content_ids


@pytest.fixture
def lesson(images, labels):
    return Lesson(images, Targets(labels), content_ids(images))


def test_without_a_measure_it_is_the_attack_itself(model, lesson):
    moment = Moment(Linf(0.1), seed=3)
    found = attacked(PGD(steps=2), model, lesson, moment).adversarial
    assert torch.equal(found, PGD(steps=2)(model, lesson.images, lesson.targets.labels, Linf(0.1), seed=3))
    assert not torch.equal(found, attacked(PGD(steps=2), model, lesson, Moment(Linf(0.1), seed=4)).adversarial)


@pytest.mark.parametrize("loss", ["margin", "cross_entropy"])
def test_any_measure_can_be_increased(model, lesson, ascend, loss):
    def measure(view, points):
        return view(points)[:, 2] * 3 + points.flatten(1).square().mean(1)

    found = attacked(
        PGD(steps=3, step_size=0.04, keep="last", loss=loss), model, lesson, Moment(Linf(0.1), seed=5), measure
    )
    wanted = ascend(lesson.images, lambda x: measure(model, x), 0.1, 3, 0.04, 5)
    torch.testing.assert_close(found.adversarial, wanted)


def test_the_best_point_is_the_one_of_the_largest_measure(model, lesson):
    def measure(view, points):
        seen.append(view(points)[:, 0] - 5)
        return seen[-1]

    seen = []
    found = attacked(PGD(steps=4), model, lesson, Moment(Linf(0.3)), measure).adversarial
    best = torch.stack([value.detach() for value in seen]).amax(0)
    torch.testing.assert_close(measure(model, found), best)


def test_ids_key_the_randomness(model, lesson):
    moment, attack = Moment(Linf(0.1)), PGD(steps=1, keep="last")
    other = Lesson(lesson.images, lesson.targets, lesson.ids + 1)
    found = [attacked(attack, model, one, moment).adversarial for one in (lesson, other)]
    assert not torch.equal(*found)


def test_at_epsilon_0_there_is_no_adversary(model, lesson):
    assert attacked(FGSM(), model, lesson, Moment(Linf(0.0))) is lesson


def test_an_attack_that_looks_at_some_images_only_is_refused(model, lesson):
    class Halves(Ensemble):
        cost = ""

        def stages(self, classes):
            return (FGSM(), FGSM())

    measure = lambda view, points: points.flatten(1).sum(1) - 1 + 10 * (torch.arange(len(points)) % 2) - 27  # noqa: E731
    with pytest.raises(UserError, match="measures 4 images at a time, and the attack asked for"):
        attacked(Halves(), model, lesson, Moment(Linf(0.1)), measure)


def test_probabilities_are_measured_and_single_classes_left_to_the_attack(model, images, labels):
    assert soft_measure(Targets(labels)) is None
    targets = Targets(labels, smoothing=0.2)
    torch.testing.assert_close(soft_measure(targets)(model, images), targets.cross_entropies(model(images)))
