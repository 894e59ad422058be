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


def test_what_is_wrong_as_it_is_does_not_become_robust_by_an_attack_that_helps(make_task):
    task = make_task()
    weight = task.tunable.model[2].weight.detach()

    def towards_the_truth(model, images, labels, threat, **_):
        way = weight[labels] - weight[1 - labels]
        return images + 100 * way.reshape(images.shape)

    scores = validate(task.tunable, task.validation, towards_the_truth, Linf(0.02), 16, Processes())
    assert scores.robust == scores.clean < scores.n


def test_without_an_attack_robust_is_clean(make_task):
    task = make_task()
    scores = validate(task.tunable, task.validation, None, Linf(0.02), 16, Processes())
    assert scores.robust == scores.clean


def test_a_constant_prediction_is_a_collapse_unless_it_is_right():
    assert Scores(n=100, clean=50, robust=0, most_common=100).collapsed
    assert not Scores(n=100, clean=100, robust=0, most_common=100).collapsed
    assert not Scores(n=100, clean=50, robust=0, most_common=60).collapsed
