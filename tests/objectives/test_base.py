import pytest
import torch

from robustpeft.objectives.base import mean_cross_entropy
from robustpeft.types import UserError

LOGITS = torch.tensor([[2.0, 0.0], [0.0, 0.0]])


def test_the_cross_entropy_is_the_mean_over_the_batch():
    labels = torch.tensor([0, 1])
    wanted = (torch.log1p(torch.exp(torch.tensor(-2.0))) + torch.log(torch.tensor(2.0))) / 2
    torch.testing.assert_close(mean_cross_entropy(LOGITS, labels), wanted)


def test_a_label_without_a_logit_is_refused():
    with pytest.raises(UserError, match=r"labels must be in \[0, 2\); found 0 to 2"):
        mean_cross_entropy(LOGITS, torch.tensor([0, 2]))
