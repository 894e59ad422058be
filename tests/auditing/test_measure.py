import pytest
import torch

from robustpeft.attacks import PGD, Judge
from robustpeft.auditing.conditions import Condition
from robustpeft.auditing.measure import Setting, measure
from robustpeft.auditing.progress import Pace
from robustpeft.perturbations import GaussianNoise
from robustpeft.types import Linf


def measured(condition, model, split, shown=(), observer=None):
    ids = torch.tensor(shown, dtype=torch.int64)
    setting = Setting(Judge(model, 4), split, ("a", "b"), 4, torch.device("cpu"), 0, ids)
    return measure(condition, setting, Pace((condition,), len(split), observer))


def test_predictions_come_in_the_order_of_the_split(make_linear, make_split):
    model, split = make_linear(2), make_split(n=10)
    (batch,) = split.batches(10)
    assert torch.equal(measured(Condition("clean"), model, split).predictions, model(batch.images).argmax(dim=1))


def test_the_cost_is_one_forward_an_image(make_linear, make_split):
    found = measured(Condition("clean"), make_linear(2), make_split(n=10))
    assert (found.forwards, found.backwards) == (10, 0)


def test_an_attack_is_not_measured_here(make_linear, make_split):
    with pytest.raises(ValueError, match="pgd is an attack"):
        measured(Condition("pgd", PGD(steps=3), Linf(0.1)), make_linear(2), make_split(n=10))


def test_shown_images_are_kept_with_the_answer_that_was_counted(make_linear, make_split):
    split = make_split(n=10)
    wanted = split.ids[[2, 9]].tolist()
    found = measured(Condition("noise", GaussianNoise(0.1)), make_linear(2), split, shown=wanted)
    assert list(found.answers) == wanted
    for place, id_ in zip((2, 9), wanted, strict=True):
        answer = found.answers[id_]
        assert answer.logits.argmax() == found.predictions[place]
        assert (answer.image - split[place].float() / 255).abs().max() > 0.05


def test_the_observer_is_told_after_every_batch(make_linear, make_split):
    told = []
    found = measured(Condition("clean"), make_linear(2), make_split(n=10), observer=told.append)
    assert [progress.images_done for progress in told] == [4, 8, 10]
    assert told[-1].accuracy == (found.predictions == make_split(n=10).labels).float().mean().item()
