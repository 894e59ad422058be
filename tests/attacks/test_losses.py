import pytest
import torch
from hypothesis import given, strategies as st
from torch.nn import functional as F

from robustpeft.attacks.losses import LOSSES, find_loss, margin
from robustpeft.types import UserError

LOGITS = torch.tensor([[2.0, 1.0, -1.0], [0.0, 3.0, 3.0], [5.0, -2.0, 4.0]])


def test_cross_entropy_is_minus_the_log_of_the_share_of_the_label():
    labels = torch.tensor([0, 1, 2])
    found = find_loss("cross_entropy")(LOGITS, labels, labels)
    shares = LOGITS.exp() / LOGITS.exp().sum(1, keepdim=True)
    torch.testing.assert_close(found, -torch.stack([shares[0, 0], shares[1, 1], shares[2, 2]]).log())


def test_the_margin_is_positive_exactly_when_another_class_is_above_the_label():
    assert margin(LOGITS, torch.tensor([0, 0, 2])).tolist() == [-1.0, 3.0, 1.0]


def test_a_tie_has_margin_zero():
    assert margin(LOGITS[1:2], torch.tensor([1])).item() == 0.0


@given(st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=6), st.data())
def test_the_margin_agrees_with_a_loop_over_the_classes(row, data):
    label = data.draw(st.integers(0, len(row) - 1))
    found = margin(torch.tensor([row]), torch.tensor([label])).item()
    best_other = max(value for i, value in enumerate(row) if i != label)
    assert found == (torch.tensor(best_other) - torch.tensor(row[label])).item()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_each_image_has_a_loss_of_its_own(name):
    logits = torch.tensor([[2.0, 1.0, -1.0, 0.5], [0.0, 3.0, 3.0, 1.0], [5.0, -2.0, 4.0, 0.0]])
    labels, targets = torch.tensor([0, 1, 2]), torch.tensor([3, 2, 0])
    if find_loss(name).relative:
        targets = logits.roll(1, 0) * 0.5
    together = find_loss(name)(logits, labels, targets)
    assert together.shape == (3,)
    for i in range(3):
        one = slice(i, i + 1)
        torch.testing.assert_close(find_loss(name)(logits[one], labels[one], targets[one]), together[one])


@pytest.mark.parametrize("shift", [0.0, 2.0])
@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_ratios_by_hand_and_unchanged_by_scale_and_shift(scale, shift):
    logits = scale * torch.tensor([[4.0, 7.0, 1.0, 2.0, -5.0], [9.0, 3.0, 0.0, -1.0, 8.0]]) + shift
    labels, targets = torch.tensor([1, 4]), torch.tensor([2, 3])
    ratio = torch.tensor([-(7 - 4) / (7 - 2), -(8 - 9) / (9 - 3)])
    torch.testing.assert_close(find_loss("dlr")(logits, labels, targets), ratio)
    towards = torch.tensor([-(7 - 1) / (7 - (2 + 1) / 2), -(8 - -1) / (9 - (3 + 0) / 2)])
    torch.testing.assert_close(find_loss("targeted_dlr")(logits, labels, targets), towards)


@pytest.mark.parametrize("name", ["dlr", "targeted_dlr"])
def test_a_ratio_keeps_its_sign_where_the_largest_logits_are_equal(name):
    logits, label, target = torch.tensor([[5.0, 5.0, 5.0, 5.0, 2.0]]), torch.tensor([4]), torch.tensor([0])
    torch.testing.assert_close(find_loss(name)(logits, label, target), torch.tensor([3e12]))


def test_a_margin_needs_two_classes():
    with pytest.raises(UserError, match="at least two classes"):
        margin(torch.zeros(2, 1), torch.tensor([0, 0]))


def test_an_unknown_loss_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"did you mean 'cross_entropy'\? Valid: cross_entropy, dlr, kl, margin"):
        find_loss("crossentropy")


TARGETS = torch.tensor([1, 2, 0])


def test_the_targeted_margin_is_what_the_target_is_above_the_label():
    assert find_loss("targeted_margin")(LOGITS, torch.tensor([0, 0, 2]), TARGETS).tolist() == [-1.0, 3.0, 1.0]


def test_the_targeted_cross_entropy_grows_with_the_share_of_the_target():
    found = find_loss("targeted_cross_entropy")(LOGITS, torch.tensor([0, 1, 2]), TARGETS)
    torch.testing.assert_close(found, LOGITS.softmax(1).gather(1, TARGETS[:, None]).squeeze(1).log())
    nearer = LOGITS + F.one_hot(TARGETS, 3)
    assert (find_loss("targeted_cross_entropy")(nearer, TARGETS, TARGETS) > found).all()


def test_the_divergence_is_that_from_the_clean_answer_to_this_one():
    clean = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    wanted = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=clean), torch.distributions.Categorical(logits=LOGITS)
    )
    torch.testing.assert_close(find_loss("kl")(LOGITS, TARGETS, clean), wanted)
    torch.testing.assert_close(find_loss("kl")(LOGITS + 7, TARGETS, LOGITS), torch.zeros(3), atol=1e-6, rtol=0)


def test_the_squared_distance_is_summed_over_the_classes():
    clean = torch.tensor([[2.0, 1.0, -1.0], [3.0, 3.0, -1.0], [5.0, -2.0, 4.5]])
    assert find_loss("squared_distance")(LOGITS, TARGETS, clean).tolist() == [0.0, 25.0, 0.25]
