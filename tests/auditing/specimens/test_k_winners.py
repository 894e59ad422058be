import torch

from robustpeft.auditing.specimens.k_winners import KWinners, k_winners


def test_the_largest_in_size_stay():
    values = torch.tensor([[3.0, -4.0, 1.0, 2.0], [0.0, 1.0, -0.5, 0.2]])
    assert KWinners(0.5)(values).tolist() == [[3, -4, 0, 0], [0, 1, -0.5, 0]]
    assert KWinners(0.01)(values).tolist() == [[0, -4, 0, 0], [0, 1, 0, 0]]


def test_gradients_flow_through_winners_alone():
    values = torch.tensor([[3.0, -4.0, 1.0, 2.0]], requires_grad=True)
    KWinners(0.5)(values).sum().backward()
    assert values.grad.tolist() == [[1, 1, 0, 0]]


def test_every_activation_has_a_fifth_left(model):
    assert k_winners(model).activation(torch.rand(5, 100)).count_nonzero(1).tolist() == [20] * 5
