import pytest
import torch
from torch.nn import functional as F

from robustpeft.attacks import FGSM, PGD
from robustpeft.objectives import Lesson, Natural, PgdAt, Targets
from robustpeft.objectives.lesson import Moment
from robustpeft.types import L2, Linf, UserError, content_ids


@pytest.mark.parametrize("clean", [0.0, 0.3])
def test_it_equals_a_direct_transcription_of_the_paper(model, images, labels, ascend, same_gradients, clean):
    x = ascend(images, lambda x: F.cross_entropy(model(x), labels, reduction="none"), 0.1, 3, 0.04, 5)
    wanted = (1 - clean) * F.cross_entropy(model(x), labels) + clean * F.cross_entropy(model(images), labels)
    objective = PgdAt(PGD(steps=3, step_size=0.04, keep="last"), clean)
    loss = objective(model, images, labels, Linf(0.1), seed=5)
    same_gradients(model, loss.total, wanted)
    torch.testing.assert_close(loss.parts["adversarial_cross_entropy"], F.cross_entropy(model(x), labels).detach())
    assert ("cross_entropy" in loss.parts) is (clean > 0)


def test_the_adversary_attacks_in_eval_mode_also_while_the_model_is_in_training_mode(model, images, labels):
    threat, attack = Linf(0.1), PGD(steps=3, keep="last")
    adversarial = attack(model, images, labels, threat)
    model.train()
    seen = []
    model.register_forward_pre_hook(lambda module, args: seen.append((module.training, args[0].detach().clone())))
    PgdAt(attack=attack)(model, images, labels, threat)
    found, (trained_in_training_mode, trained_on) = seen[:-1], seen[-1]
    assert len(found) == 3
    assert not any(training for training, _ in found)
    assert trained_in_training_mode
    assert torch.equal(trained_on, adversarial)


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.5)], ids=str)
def test_the_adversary_makes_the_loss_larger(model, images, labels, threat):
    natural = Natural()(model, images, labels, threat).total
    assert PgdAt()(model, images, labels, threat).total > natural


def test_any_attack_may_be_the_inner_maximisation(model, images, labels):
    found = PgdAt(attack=FGSM())(model, images, labels, Linf(0.1)).total
    assert torch.equal(found, F.cross_entropy(model(FGSM()(model, images, labels, Linf(0.1))), labels))


def test_ids_key_the_randomness(model, images, labels):
    def loss(ids):
        return PgdAt(attack=PGD(steps=1, keep="last"))(model, images, labels, Linf(0.1), ids=ids).total

    assert torch.equal(loss(torch.arange(4)), loss(torch.arange(4)))
    assert not torch.equal(loss(torch.arange(4)), loss(torch.arange(4) + 1))


def test_the_default_spends_no_pass_on_judging_the_end_point():
    assert PgdAt().attack == PGD(steps=10, keep="last")
    assert PgdAt().clean == 0


@pytest.mark.parametrize("clean", [-0.1, 1.1, float("nan")])
def test_a_weight_outside_0_and_1_is_refused(clean):
    with pytest.raises(UserError, match=r"clean must be a weight in \[0, 1\]"):
        PgdAt(clean=clean)


def test_all_weight_on_the_clean_images_is_the_natural_loss(model, images, labels, same_gradients):
    loss = PgdAt(clean=1.0)(model, images, labels, Linf(0.1))
    same_gradients(model, loss.total, F.cross_entropy(model(images), labels))


def test_probabilities_are_attacked_as_such(model, images, labels, ascend):
    share, others = torch.tensor([0.1, 0.2, 0.3, 0.4]), (labels + 1) % 3
    q = 0.8 * (share[:, None] * F.one_hot(labels, 3) + (1 - share[:, None]) * F.one_hot(others, 3)) + 0.2 / 3
    x = ascend(images, lambda x: -(q * F.log_softmax(model(x), 1)).sum(1), 0.1, 3, 0.04, 5)
    attack, moment = PGD(steps=3, step_size=0.04, keep="last"), Moment(Linf(0.1), seed=5)
    for targets, alike in ((Targets(labels, others, share, smoothing=0.2), True), (Targets(labels), False)):
        lesson = Lesson(images, targets, content_ids(images))
        found = PgdAt(attack).prepare(model, lesson, moment).attacked
        assert torch.allclose(found, x, atol=1e-6) is alike
