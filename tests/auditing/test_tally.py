import torch

from robustpeft.auditing.conditions import Condition
from robustpeft.auditing.measure import Outcome
from robustpeft.auditing.tally import image_rows, measurement
from robustpeft.records import Rate


def test_counts_are_those_of_the_predictions():
    labels = torch.tensor([0, 0, 0, 2, 2])
    outcome = Outcome(torch.tensor([0, 1, 0, 2, 0]), {}, forwards=5, backwards=0, seconds=0.5)
    found = measurement(Condition("clean"), outcome, labels, num_classes=4)
    assert found.correct == Rate(3, 5)
    assert found.per_class == (Rate(2, 3), Rate(0, 0), Rate(1, 2), Rate(0, 0))
    assert (found.forwards, found.backwards, found.seconds) == (5, 0, 0.5)


def test_rows_keep_the_order_of_the_split(make_split):
    split = make_split(n=3, num_classes=3)
    rows = image_rows(split, {"clean": torch.tensor([0, 0, 2]), "x": torch.tensor([1, 1, 1])})
    assert [row.id for row in rows] == split.ids.tolist()
    assert [row.label for row in rows] == [0, 1, 2]
    assert rows[2].predictions == {"clean": 2, "x": 1}
