import torch

from robustpeft.attacks import PGD
from robustpeft.training.processes import Processes
from robustpeft.training.validation import Scores, validate
from robustpeft.types import Linf


def test_counts_equal_those_of_a_plain_loop(make_task):
    task = make_task()
    model, split = task.tunable.model, task.validation
    attack, threat = PGD(steps=3), Linf(0.02)
    scores = validate(task.tunable, split, attack, threat, 16, Processes())
    clean = model.eval()(split.images).argmax(1) == split.labels
    adversarial = attack(model, split.images, split.labels, threat, seed=0, ids=split.ids)
    robust = clean & (model(adversarial).argmax(1) == split.labels)
    assert (scores.n, scores.clean, scores.robust) == (40, int(clean.sum()), int(robust.sum()))
    assert scores.most_common == int(torch.bincount(model(split.images).argmax(1)).max())


def test_without_an_attack_robust_is_clean(make_task):
    task = make_task()
    scores = validate(task.tunable, task.validation, None, Linf(0.02), 16, Processes())
    assert scores.robust == scores.clean


def test_a_constant_prediction_is_a_collapse_unless_it_is_right():
    assert Scores(n=100, clean=50, robust=0, most_common=100).collapsed
    assert not Scores(n=100, clean=100, robust=0, most_common=100).collapsed
    assert not Scores(n=100, clean=50, robust=0, most_common=60).collapsed
