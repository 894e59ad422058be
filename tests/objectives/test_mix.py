import pytest
import torch
from torch.nn import functional as F

from robustpeft.attacks import PGD
from robustpeft.objectives import MART, Mix, Natural, PgdAt, Smoothing
from robustpeft.objectives.mix import _rectangle
from robustpeft.types import Linf, UserError

IDS = torch.tensor([5, 6, 7, 8])


def lessons(mix, images, labels, seeds=range(1)):
    return [mix.lesson(lambda x: x, images, labels, Linf(0.0), seed=seed, ids=IDS) for seed in seeds]


def partners_of(lesson, images, labels):
    """Return the permutation with which the images were blended, found from the pixels."""
    share = lesson.targets.share[0]
    others = (lesson.images - share * images) / (1 - share)
    distances = (others[:, None] - images[None]).flatten(2).abs().amax(2)
    assert distances.amin(1).max() < 1e-4
    return distances.argmin(1)


def test_mixup_blends_images_and_labels_alike(images, labels):
    (lesson,) = lessons(Mix(Natural(), cutmix=0, probability=1), images, labels)
    partner = partners_of(lesson, images, labels)
    assert sorted(partner.tolist()) == [0, 1, 2, 3]
    assert (partner != torch.arange(4)).all()
    assert torch.equal(lesson.targets.others, labels[partner])
    assert torch.equal(lesson.targets.labels, labels)
    assert len(lesson.targets.share.unique()) == 1
    assert 0 < lesson.targets.share[0] < 1


def test_cutmix_shows_a_rectangle_of_another_image(images, labels):
    large = images.repeat_interleave(4, 2).repeat_interleave(4, 3)
    shares = []
    for lesson in lessons(Mix(Natural(), mixup=0, probability=1), large, labels, range(20)):
        changed = (lesson.images != large).any(1)
        share = 1 - changed[0].float().mean()
        shares.append(float(share))
        torch.testing.assert_close(lesson.targets.share, share.expand(4))
        assert (changed == changed[0]).all()
        rows, columns = changed[0].any(1), changed[0].any(0)
        assert torch.equal(changed[0], rows[:, None] & columns[None])
        if share < 1:
            index = [
                int((large[j] == lesson.images[i])[:, changed[0]].all(0).all()) for i in range(4) for j in range(4)
            ]
            partner = torch.tensor(index).reshape(4, 4).argmax(1)
            assert torch.equal(lesson.targets.others, labels[partner])
    assert len(set(shares)) > 10


def test_partners_follow_the_ids_and_the_seed(images, labels):
    mix = Mix(Natural(), cutmix=0, probability=1)
    found = {tuple(partners_of(one, images, labels).tolist()) for one in lessons(mix, images, labels, range(30))}
    assert len(found) == 6  # all circles of four


def test_batches_are_mixed_as_often_as_asked(images, labels):
    seeds = range(1000)
    made = lessons(Mix(Natural(), probability=0.3, switch=0.25), images, labels, seeds)
    mixed = [one for one in made if one.targets.others is not None]
    assert 250 < len(mixed) < 350
    blended = sum(bool((one.images != images).all(dim=(1, 2, 3)).any()) for one in mixed)
    assert 0.67 < blended / len(mixed) < 0.83
    assert all(torch.equal(one.images, images) for one in made if one.targets.others is None)


@pytest.mark.parametrize("a", [0.5, 2.0])
def test_shares_come_from_the_beta_distribution(images, labels, a):
    made = lessons(Mix(Natural(), mixup=a, cutmix=0, probability=1), images, labels, range(2000))
    shares = torch.stack([one.targets.share[0] for one in made])
    assert abs(shares.mean() - 0.5) < 0.03
    assert abs(shares.var() - 1 / (4 * (2 * a + 1))) < 0.01


def test_the_rectangle_has_the_area_it_should_where_it_does_not_stick_out():
    class Chosen:
        def __init__(self, *values):
            self.values = list(values)

        def randrange(self, length):
            return self.values.pop(0)

    assert _rectangle(16, 32, 0.25, Chosen(8, 16)) == (4, 12, 8, 24)
    assert _rectangle(16, 32, 0.25, Chosen(1, 31)) == (0, 5, 23, 32)
    assert _rectangle(16, 32, 0.0, Chosen(8, 16)) == (8, 8, 16, 16)
    assert _rectangle(16, 32, 1.0, Chosen(8, 16)) == (0, 16, 0, 32)


def test_the_mixed_image_is_attacked_with_the_mixed_labels(model, images, labels, ascend, same_gradients):
    pgd = PGD(steps=3, step_size=0.04, keep="last")
    mix = Mix(PgdAt(pgd), cutmix=0, probability=1)
    clean = mix.lesson(model, images, labels, Linf(0.0), seed=5)
    share, others = clean.targets.share[0], clean.targets.others

    def soft(x):
        q = share * F.one_hot(labels, 3) + (1 - share) * F.one_hot(others, 3)
        return -(q * F.log_softmax(model(x), 1)).sum(1)

    start = PGD(steps=1, step_size=1e-9, keep="last")  # where PGD begins: keyed by the ids of the unmixed images
    begin = Mix(PgdAt(start), cutmix=0, probability=1).lesson(model, images, labels, Linf(0.1), seed=5).attacked
    x = ascend(clean.images, soft, 0.1, 3, 0.04, 5, start=begin)
    loss = mix(model, images, labels, Linf(0.1), seed=5)
    same_gradients(model, loss.total, soft(x).mean())


def test_smoothing_goes_along(model, images, labels):
    for objective in (Smoothing(Mix(Natural(), probability=1), 0.2), Mix(Smoothing(Natural(), 0.2), probability=1)):
        targets = objective.lesson(model, images, labels, Linf(0.1)).targets
        assert targets.smoothing == 0.2
        assert targets.others is not None


def test_what_needs_single_classes_and_what_is_mixed_already_is_refused(model, images, labels):
    with pytest.raises(UserError, match="mart needs one class per image"):
        Mix(MART(), probability=1)(model, images, labels, Linf(0.1))
    with pytest.raises(UserError, match="mixed already"):
        Mix(Mix(Natural(), probability=1), probability=1)(model, images, labels, Linf(0.1))


def test_the_defaults_are_those_of_mo_et_al():
    assert Mix() == Mix(PgdAt(), mixup=0.8, cutmix=1.0, probability=0.3, switch=0.5)
    assert Mix().adversarial is True
    assert Mix(Natural()).adversarial is False


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ({"mixup": -1.0}, "mixup and cutmix must be at least 0, and one of them positive"),
        ({"mixup": 0.0, "cutmix": 0.0}, "mixup and cutmix must be at least 0, and one of them positive"),
        ({"probability": 1.5}, r"probability and switch must be in \[0, 1\]"),
        ({"switch": -0.5}, r"probability and switch must be in \[0, 1\]"),
        ({"switch": 1.5}, r"probability and switch must be in \[0, 1\]"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(kinds, message):
    with pytest.raises(UserError, match=message):
        Mix(**kinds)


def test_never_and_always_are_shares_too(images, labels):
    assert lessons(Mix(Natural(), probability=0, switch=0), images, labels)[0].targets.others is None
    (cut,) = lessons(Mix(Natural(), probability=1, switch=1), images, labels)
    assert torch.isin(cut.images, images).all()  # no value is blended
    (blended,) = lessons(Mix(Natural(), probability=1, switch=0), images, labels)
    assert not torch.isin(blended.images, images).any()


@pytest.mark.parametrize(("height", "width"), [(8, 32), (32, 8), (20, 24)])
def test_the_rectangle_has_the_shape_of_the_image_and_the_labels_have_its_share(labels, height, width):
    images = torch.rand(4, 3, height, width, generator=torch.Generator().manual_seed(1))
    anywhere, whole = torch.zeros(height, width, dtype=torch.bool), 0
    for lesson in lessons(Mix(Natural(), mixup=0, probability=1), images, labels, range(60)):
        changed = (lesson.images != images).any(1)[0]
        pasted = changed.sum() / (height * width)
        torch.testing.assert_close(lesson.targets.share, (1 - pasted).expand(4))
        anywhere |= changed
        border = changed[0].any() or changed[-1].any() or changed[:, 0].any() or changed[:, -1].any()
        if pasted and not border:  # nothing of it was cut off
            rows, columns = changed.any(1).sum() / height, changed.any(0).sum() / width
            assert abs(rows - columns) < 1 / min(height, width)
            whole += 1
    assert anywhere.all()
    assert whole > 3
