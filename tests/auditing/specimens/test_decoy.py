import torch

from robustpeft.attacks import APGD, PGD, Judge
from robustpeft.auditing.specimens.decoy import decoy
from robustpeft.types import Linf


def test_no_decision_is_another_and_the_decoy_is_second(model, images):
    honest = 1000 * model(images)
    first, runner_up = honest.topk(2, dim=1).indices.T
    spoiled = decoy(torch.nn.Identity())(honest)
    assert torch.equal(spoiled.argmax(1), first)
    assert torch.equal(spoiled.topk(2, dim=1).indices[:, 1], (first + 1) % 10)
    assert not torch.equal(runner_up, (first + 1) % 10)
    gap = -spoiled.topk(2, dim=1).values.diff(dim=1)
    assert ((gap > 0.0049) & (gap < 0.0251)).all()


def test_a_class_that_is_nearer_than_the_gap_stays_where_it_is():
    logits = torch.tensor([[5.0, 4.999, 0.0], [5.0, 0.0, 4.999]])
    spoiled = decoy(torch.nn.Identity())(logits)
    assert spoiled[0].tolist() == logits[0].tolist()
    assert spoiled[1, ::2].tolist() == logits[1, ::2].tolist()


def test_a_search_for_the_nearest_class_is_led_astray_and_one_for_a_single_class_is_not(model):
    images = torch.rand(60, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    labels, spoiled, threat = model(images).argmax(1), decoy(model).eval(), Linf(0.03)

    def broken(classifier, attack):
        found = attack(classifier, images, labels, threat, seed=0, ids=torch.arange(60))
        return int((Judge(classifier, 60)(found, labels).margins > 0).sum())

    nearest, single = PGD(steps=20, loss="margin"), APGD(steps=20, loss="targeted_margin")
    assert broken(spoiled, nearest) < 0.7 * broken(model, nearest)
    assert broken(spoiled, single) > 0.9 * broken(model, single)
