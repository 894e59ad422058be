import pytest
import torch

from robustpeft.auditing.sanity import check_answer
from robustpeft.errors import UserError


def test_logits_for_the_classes_pass():
    check_answer(torch.zeros(2, 3), 2, ("a", "b", "c"))


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (torch.zeros(2, 10), r"answers with 10 classes, the data has 3 \(a, b, c\)"),
        (torch.zeros(1, 3), "must return logits"),
        (torch.zeros(2, 3, 1), "must return logits"),
        (torch.tensor([[0.0, 0.0, 0.0], [0.0, float("nan"), 0.0]]), "not finite"),
    ],
)
def test_other_answers_are_refused(logits, message):
    with pytest.raises(UserError, match=message):
        check_answer(logits, 2, ("a", "b", "c"))
