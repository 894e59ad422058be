import pytest
import torch
from torch.nn import functional as F

from robustpeft.objectives import Lesson, Targets
from robustpeft.types import UserError

LOGITS = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 0])
OTHERS = torch.tensor([1, 1, 0, 2])
SHARE = torch.tensor([0.25, 0.5, 0.75, 1.0])


def probabilities(smoothing):
    both = SHARE[:, None] * F.one_hot(LABELS, 3) + (1 - SHARE[:, None]) * F.one_hot(OTHERS, 3)
    return (1 - smoothing) * both + smoothing / 3


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_cross_entropy_with_probabilities(smoothing):
    targets = Targets(LABELS, OTHERS, SHARE, smoothing)
    wanted = -(probabilities(smoothing) * F.log_softmax(LOGITS, 1)).sum(1)
    torch.testing.assert_close(targets.cross_entropies(LOGITS), wanted)
    torch.testing.assert_close(targets.cross_entropy(LOGITS), wanted.mean())


def test_one_class_smoothed():
    targets = Targets(LABELS, smoothing=0.3)
    wanted = -((0.7 * F.one_hot(LABELS, 3) + 0.1) * F.log_softmax(LOGITS, 1)).sum(1)
    torch.testing.assert_close(targets.cross_entropies(LOGITS), wanted)
    torch.testing.assert_close(targets.cross_entropy(LOGITS), wanted.mean())


def test_one_class_is_the_usual_cross_entropy_to_the_last_bit():
    assert torch.equal(Targets(LABELS).cross_entropy(LOGITS), F.cross_entropy(LOGITS, LABELS))
    assert torch.equal(Targets(LABELS).cross_entropies(LOGITS), F.cross_entropy(LOGITS, LABELS, reduction="none"))


def test_targets_are_hard_if_there_is_one_class_per_image():
    assert Targets(LABELS).hard
    assert not Targets(LABELS, smoothing=0.1).hard
    assert not Targets(LABELS, OTHERS, SHARE).hard


@pytest.mark.parametrize("targets", [Targets(LABELS + 1), Targets(LABELS + 1, LABELS, SHARE)], ids=["one", "two"])
def test_a_label_without_a_logit_is_refused(targets):
    with pytest.raises(UserError, match=r"labels must be in \[0, 3\); found 1 to 3"):
        targets.cross_entropy(LOGITS)
    with pytest.raises(UserError, match=r"labels must be in \[0, 3\); found 1 to 3"):
        targets.cross_entropies(LOGITS)


def test_accuracy_is_that_of_the_first_class():
    logits = torch.eye(3)[torch.tensor([0, 1, 2, 1])].requires_grad_()
    accuracy = Targets(LABELS, OTHERS, SHARE).accuracy(logits)
    assert accuracy == 0.75
    assert not accuracy.requires_grad


def test_a_part_of_a_lesson_has_a_part_of_everything():
    images = torch.rand(4, 3, 2, 2)
    lesson = Lesson(images, Targets(LABELS, OTHERS, SHARE, 0.1), torch.arange(4), 1 - images, torch.rand(4, 5))
    rows = torch.tensor([2, 0])
    part = lesson.take(rows)
    assert torch.equal(part.images, images[rows])
    assert torch.equal(part.attacked, 1 - images[rows])
    assert torch.equal(part.reference, lesson.reference[rows])
    assert torch.equal(part.ids, rows)
    assert part.targets.labels.tolist() == [2, 0]
    assert part.targets.others.tolist() == [0, 1]
    assert part.targets.share.tolist() == [0.75, 0.25]
    assert part.targets.smoothing == 0.1


def test_without_an_adversary_the_images_themselves_are_attacked():
    images = torch.rand(4, 3, 2, 2)
    assert Lesson(images, Targets(LABELS), torch.arange(4)).attacked is images


def test_who_needs_one_class_says_so():
    lesson = Lesson(torch.rand(4, 3, 2, 2), Targets(LABELS, smoothing=0.1), torch.arange(4))
    with pytest.raises(UserError, match="mart needs one class per image; take it out of mix and smoothing"):
        lesson.require_hard("mart")
