import pytest
import torch

from robustpeft.auditing.checks.normalisation import clean_accuracy, normalisation
from robustpeft.records import Rate

MEAN, STD = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda x: (x - MEAN) / STD, "ImageNet's normalisation undone"),
        (lambda x: x * STD + MEAN, "normalised with ImageNet's mean"),
        (lambda x: x / 255, "8-bit"),
    ],
)
def test_a_scale_that_suits_better_is_named(make_case, around, wrong, said):
    answer = normalisation(make_case(around(before=wrong), attacked=False))
    assert answer.verdict == "fail"
    assert said in answer.evidence


def test_an_honest_model_likes_images_as_they_are(make_case):
    answer = normalisation(make_case(attacked=False))
    assert answer.verdict == "pass"
    assert answer.evidence.startswith("48 of 48")


@pytest.mark.parametrize(
    ("validation", "verdict"),
    [(Rate(96, 100), "pass"), (Rate(48, 48), "pass"), (Rate(0, 100), "pass"), (None, "not_applicable")],
)
def test_clean_accuracy_is_compared_with_that_of_tuning(make_case, validation, verdict):
    assert clean_accuracy(make_case(validation=validation)).verdict == verdict


def test_a_drop_is_noticed(make_case, make_split):
    labels = make_split().labels.clone()
    labels[:24] = (labels[:24] + 1) % 3
    half = make_split(labels=labels)
    assert clean_accuracy(make_case(split=half, validation=Rate(1000, 1000))).verdict == "fail"
    assert clean_accuracy(make_case(split=half, validation=Rate(520, 1000))).verdict == "pass"
    labels[5:24] = make_split().labels[5:24]
    few = make_split(labels=labels)
    assert clean_accuracy(make_case(split=few, validation=Rate(100_000, 100_000))).verdict == "fail"
    nearly = make_case(split=few, validation=Rate(9_960, 10_000))
    assert clean_accuracy(nearly).verdict == "warn"


def test_no_better_than_guessing_is_in_doubt(make_case, make_split):
    labels = (make_split().labels + 1) % 3
    assert clean_accuracy(make_case(split=make_split(labels=labels))).verdict == "warn"
