import torch
from torch import nn

from robustpeft.training.averaging import Average


def test_the_average_follows_its_formula():
    parameter = nn.Parameter(torch.tensor([1.0]))
    average = Average({"w": parameter}, decay=0.5)
    expected = 1.0
    for step, value in enumerate([2.0, 4.0, 8.0, 16.0], start=1):
        parameter.data.fill_(value)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        torch.testing.assert_close(average.values["w"], torch.tensor([expected]))


def test_the_average_is_in_place_only_within_the_context():
    parameter = nn.Parameter(torch.tensor([1.0]))
    average = Average({"w": parameter}, decay=0.9)
    parameter.data.fill_(5.0)
    storage = parameter.data_ptr()
    with average.in_place():
        assert parameter.item() == 1.0
    assert parameter.item() == 5.0
    assert parameter.data_ptr() == storage


def test_without_averaging_the_snapshot_is_a_copy_of_the_weights():
    parameter = nn.Parameter(torch.tensor([1.0]))
    average = Average({"w": parameter}, decay=0.0)
    average.update(1)
    snapshot = average.snapshot()
    parameter.data.fill_(7.0)
    assert snapshot["w"].item() == 1.0
    with average.in_place():
        assert parameter.item() == 7.0
