import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from robustpeft.attacks import FGSM
from robustpeft.auditing.conditions import Condition
from robustpeft.auditing.gallery import choose_shown, gallery_items
from robustpeft.auditing.measure import Answer, Outcome
from robustpeft.types import L2, Linf

LOGITS = torch.log(torch.tensor([0.2, 0.7, 0.1]))


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png)))).astype(int)


def outcome(image, logits=LOGITS):
    return Outcome(torch.zeros(0, dtype=torch.int64), {7: Answer(image, logits)}, 0, 0, 0.0)


def item(image, adversarial, threat, logits=LOGITS):
    attack = Condition("fgsm", FGSM(), threat)
    (shown,) = gallery_items({7: 2}, outcome(image), outcome(adversarial, logits), attack)
    return shown


def test_the_same_photographs_are_shown_every_time_and_of_different_classes(make_split):
    split = make_split(n=60, num_classes=6)
    shown = choose_shown(split, 6, seed=3)
    assert shown == choose_shown(split, 6, seed=3)
    assert sorted(shown.values()) == list(range(6))
    labels = dict(zip(split.ids.tolist(), split.labels.tolist(), strict=True))
    assert all(labels[id_] == label for id_, label in shown.items())


def test_none_are_shown_if_none_are_wanted(make_split):
    assert choose_shown(make_split(), 0, seed=0) == {}


def test_an_item_says_what_the_model_answered():
    image = torch.full((3, 4, 4), 0.5)
    shown = item(image, image, Linf(0.1), logits=LOGITS.flip(0))
    assert (shown.id, shown.label, shown.norm, shown.epsilon) == (7, 2, "linf", 0.1)
    assert (shown.prediction, shown.confidence) == (1, pytest.approx(0.7))
    assert (shown.adversarial_prediction, shown.adversarial_confidence) == (1, pytest.approx(0.7))


def test_small_images_keep_their_pixels():
    values = torch.arange(48).reshape(3, 4, 4)
    shown = item(values / 255, values / 255, Linf(0.1))
    assert (pixels(shown.original_png) == values.permute(1, 2, 0).numpy()).all()


def test_a_change_of_epsilon_is_shown_at_full_contrast():
    image = torch.full((3, 2, 2), 0.5)
    delta = torch.tensor([[0.1, -0.1], [0.0, 0.05]]).expand(3, 2, 2)
    shown = item(image, image + delta, Linf(0.1))
    assert shown.magnification == pytest.approx(5.0)
    assert np.abs(pixels(shown.difference_png)[..., 0] - [[255, 0], [128, 191]]).max() <= 1


def test_in_l2_the_largest_change_found_is_shown_at_full_contrast():
    image = torch.full((3, 2, 2), 0.5)
    assert item(image, image + 0.02, L2(0.5)).magnification == pytest.approx(25, rel=1e-4)
    assert item(image, image, L2(0.5)).magnification == 1.0


def test_large_images_are_scaled_down_and_their_perturbation_stays_visible():
    image = torch.full((3, 300, 200), 0.5)
    checker = 0.1 * (1 - 2 * ((torch.arange(300)[:, None] + torch.arange(200)) % 2)).expand(3, 300, 200)
    shown = item(image, image + checker, Linf(0.1))
    assert pixels(shown.original_png).shape == (128, 85, 3)
    assert set(np.unique(pixels(shown.difference_png))) == {0, 255}


def test_the_gallery_shows_attacks_only():
    image = torch.full((3, 2, 2), 0.5)
    with pytest.raises(ValueError, match="clean is none"):
        gallery_items({7: 2}, outcome(image), outcome(image), Condition("clean"))
