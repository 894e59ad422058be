import pytest
import torch
from torch.nn import functional as F

from robustpeft.objectives import Lesson, Loss, Natural, Objective, PgdAt, Targets
from robustpeft.objectives.base import adversarial_loss, natural_loss
from robustpeft.types import Linf, UserError


class Told(Objective):
    """An objective that says what it was told."""

    adversarial = False

    def prepare(self, model, lesson, moment):
        self.__dict__["told"] = (lesson, moment)
        return lesson

    def loss(self, model, lesson):
        return Loss(model(lesson.images).sum())


def test_what_is_prepared_knows_threat_seed_progress_ids_and_labels(model, images, labels):
    objective, ids = Told(), torch.arange(4) + 7
    objective(model, images, labels.int(), Linf(0.25), seed=3, ids=ids, progress=0.4)
    lesson, moment = objective.__dict__["told"]
    assert (moment.threat, moment.seed, moment.progress) == (Linf(0.25), 3, 0.4)
    assert torch.equal(lesson.ids, ids)
    assert torch.equal(lesson.targets.labels, labels)
    assert lesson.targets.labels.dtype == torch.int64
    assert lesson.targets.hard
    assert lesson.adversarial is None
    assert lesson.reference is None


def test_by_default_every_warm_up_is_over(model, images, labels):
    objective = Told()
    objective(model, images, labels, Linf(0.25))
    assert objective.__dict__["told"][1].progress == 1.0
    objective.lesson(model, images, labels, Linf(0.25))
    assert objective.__dict__["told"][1].progress == 1.0


def test_calling_is_preparing_and_then_learning(model, images, labels):
    objective, threat = PgdAt(), Linf(0.1)
    lesson = objective.lesson(model, images, labels, threat, seed=2)
    loss = objective.loss(model, lesson)
    assert torch.equal(objective(model, images, labels, threat, seed=2).total, loss.total)
    assert not torch.equal(objective(model, images, labels, threat, seed=1).total, loss.total)


def test_labels_that_do_not_fit_the_images_are_refused(model, images, labels):
    with pytest.raises(UserError, match="4 images came with 2 labels"):
        Natural().lesson(model, images, labels[:2], Linf(0.1))


def test_the_two_plain_losses(model, images, labels):
    other = 1 - images
    lesson = Lesson(images, Targets(labels), torch.arange(4), adversarial=other)
    natural, adversarial = natural_loss(model, lesson), adversarial_loss(model, lesson)
    assert torch.equal(natural.total, F.cross_entropy(model(images), labels))
    assert torch.equal(adversarial.total, F.cross_entropy(model(other), labels))
    assert natural.parts == {"cross_entropy": natural.total.detach()}
    right = (model(other).argmax(1) == labels).float().mean()
    assert adversarial.parts == {
        "adversarial_cross_entropy": adversarial.total.detach(),
        "adversarial_accuracy": right,
    }
