import pytest
import torch

from robustpeft.app.choices import ATTACK_NAMES, Question
from robustpeft.app.demonstration import Shown, demonstrate, expected_passes
from robustpeft.errors import UserError

GREY = torch.full((3, 2, 2), 0.5)


def shown(label=None, image=GREY):
    return Shown(image, label, id=7)


def one(model, question, **how):
    (outcome,) = demonstrate({"model": model}, shown(**how), question).outcomes
    return outcome


def test_a_linear_model_falls_exactly_where_its_margin_ends(linear):
    """Logits 2s and 1s + b: with s the sum of 12 values, class 0 wins until s falls below b = 5.4: epsilon 0.05."""
    model = linear(2.0, 1.0)
    model.network[1].bias = torch.nn.Parameter(torch.tensor([0.0, 5.4]))
    for epsilon, verdict in ((0.049, "holds"), (0.051, "fooled")):
        outcome = one(model, Question("attack", "fgsm", epsilon), label=0)
        assert outcome.verdict == verdict
        torch.testing.assert_close(outcome.changed, GREY - epsilon)
        assert outcome.size == pytest.approx(epsilon)


def test_before_and_after_are_softmax_and_sorted(linear):
    outcome = one(linear(0.1, 0.3, 0.2), Question("perturbation", "gaussian_noise", 0.0))
    expected = torch.tensor([0.6, 1.8, 1.2], dtype=torch.double).softmax(0)
    assert [guess.label for guess in outcome.before] == [1, 2, 0]
    assert [guess.share for guess in outcome.before] == pytest.approx(expected[[1, 2, 0]].tolist(), abs=1e-6)
    assert outcome.after == outcome.before


def test_five_are_shown_of_more(linear):
    assert len(one(linear(*range(8)), Question("corruption", "fog", 0)).before) == 5


@pytest.mark.parametrize(
    ("label", "epsilon", "verdict"),
    [(0, 0.0, "holds"), (1, 0.0, "wrong_before"), (None, 0.0, "keeps"), (None, 0.2, "changes")],
)
def test_verdicts(linear, label, epsilon, verdict):
    model = linear(2.0, 1.0)
    model.network[1].bias = torch.nn.Parameter(torch.tensor([0.0, 5.4]))
    assert one(model, Question("attack", "fgsm", epsilon), label=label).verdict == verdict


def test_a_perturbation_is_the_same_for_all_and_for_a_seed(linear):
    models = {"a": linear(1.0, 2.0), "b": linear(-1.0, 2.0)}
    question = Question("perturbation", "gaussian_noise", 0.2, seed=3)
    first, again = (demonstrate(models, shown(), question).outcomes for _ in range(2))
    assert torch.equal(first[0].changed, first[1].changed)
    assert torch.equal(first[0].changed, again[0].changed)
    other = demonstrate(models, shown(), Question("perturbation", "gaussian_noise", 0.2, seed=4)).outcomes
    assert not torch.equal(first[0].changed, other[0].changed)


def test_every_model_has_an_adversarial_image_of_its_own_whatever_stands_beside_it(linear):
    models = {"a": linear(1.0, 2.0, 0.5), "b": linear(-1.0, 2.0, 0.7)}
    question = Question("attack", "pgd", 0.1, steps=3, seed=5)
    together = demonstrate(models, shown(1), question).outcomes
    alone = one(models["b"], question, label=1)
    assert torch.equal(together[1].changed, alone.changed)


@pytest.mark.parametrize("name", ATTACK_NAMES)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_no_attack_leaves_the_threat_and_its_cost_is_foreseen(linear, name, norm):
    model = linear(3.0, 1.0, 2.0, 2.5)
    question = Question("attack", name, 0.05, norm, steps=4)
    if name == "autoattack":
        assert expected_passes(question, 4) > 5000
        return
    outcome = one(model, question, label=0)
    assert outcome.size <= 0.05 + 1e-6
    assert 0 <= float(outcome.changed.min()) <= float(outcome.changed.max()) <= 1
    assert outcome.passes <= expected_passes(question, 4) - 2


def test_the_difference_is_at_full_contrast_where_a_pixel_moved_by_epsilon(linear):
    outcome = one(linear(2.0, 1.0), Question("attack", "fgsm", 0.1), label=0)
    assert outcome.magnification == pytest.approx(5.0)
    torch.testing.assert_close(outcome.difference, torch.zeros(3, 2, 2), atol=1e-6, rtol=0)
    assert one(linear(2.0, 1.0), Question("corruption", "fog", 0)).difference.eq(0.5).all()


def test_an_observer_can_end_it_and_the_model_is_as_it_was(linear):
    model = linear(2.0, 1.0).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    seen = []

    def observer(label, passes):
        seen.append((label, passes))
        if passes == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        demonstrate({"m": model}, shown(0), Question("attack", "pgd", 0.1, steps=50), observer=observer)
    assert seen == [("m", 0), ("m", 1), ("m", 2), ("m", 3)]
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_what_does_not_fit_is_refused(linear):
    with pytest.raises(UserError, match="the image is of class 5, but model knows 2 classes"):
        one(linear(2.0, 1.0), Question("attack", "fgsm", 0.1), label=5)
    with pytest.raises(UserError, match="FAB is written for linf and l2; got l1"):
        one(linear(2.0, 1.0), Question("attack", "fab", 1.0, "l1", steps=2), label=0)
