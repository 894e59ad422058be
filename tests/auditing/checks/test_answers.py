import pytest
import torch
from torch import nn

from robustpeft.auditing.checks import answers

ALL = (answers.deterministic, answers.stateless, answers.logits_not_probabilities, answers.stable_predictions)


@pytest.mark.parametrize("ask", ALL)
def test_an_honest_model_passes(make_case, ask):
    assert ask(make_case(attacked=False)).verdict == "pass"


def test_noise_in_the_logits_is_noticed(make_case, around):
    noisy = around(after=lambda logits: logits + 1e-2 * torch.randn_like(logits))
    case = make_case(noisy, attacked=False)
    assert answers.deterministic(case).verdict == "fail"
    assert answers.stateless(case).verdict == "not_applicable"
    quiet = around(after=lambda logits: logits + 1e-7 * torch.randn_like(logits))
    assert answers.deterministic(make_case(quiet, attacked=False)).verdict == "pass"


@pytest.mark.parametrize(
    "mix",
    [
        lambda logits: logits - logits.mean(dim=0),
        lambda logits: logits + 0.3 * logits.roll(1, 0),
        lambda logits: logits if len(logits) > 1 else 2 * logits + 1,
    ],
)
def test_answers_that_depend_on_neighbours_are_noticed(make_case, around, mix):
    case = make_case(around(after=mix), attacked=False)
    assert answers.stateless(case).verdict == "fail"
    assert answers.deterministic(case).verdict == "pass"


def test_answers_that_depend_on_earlier_calls_are_noticed(make_case, around):
    seen = set()

    def after(logits):
        seen.add(len(logits))
        return logits + (1.0 if 1 in seen else 0.0) * torch.tensor([1.0, 0, 0])

    answer = answers.stateless(make_case(around(after=after), attacked=False))
    assert answer.verdict == "fail"


def test_probabilities_are_told_from_logits(make_case, around):
    softmax = make_case(around(after=lambda logits: logits.softmax(dim=1)), attacked=False)
    assert answers.logits_not_probabilities(softmax).verdict == "fail"
    logarithms = make_case(around(after=lambda logits: logits.log_softmax(dim=1)), attacked=False)
    assert answers.logits_not_probabilities(logarithms).verdict == "pass"
    sigmoid = make_case(around(after=torch.sigmoid), attacked=False)
    assert answers.logits_not_probabilities(sigmoid).verdict == "pass"


def test_a_rough_surface_is_in_doubt(make_case, around):
    rough = around(before=lambda images: images + 0.2 * torch.sin(5000 * images))
    assert answers.stable_predictions(make_case(rough, attacked=False)).verdict == "warn"


class Limited(nn.Module):
    """Answers so many images, then says zero."""

    def __init__(self, inner, limit):
        super().__init__()
        self.inner, self.limit, self.answered = inner, limit, 0

    def forward(self, images):
        self.answered += len(images)
        return self.inner(images) * float(self.answered <= self.limit)


def test_a_limit_of_questions_is_noticed_if_the_attacks_reached_it(make_case, honest):
    assert answers.same_afterwards(make_case()).verdict == "pass"
    assert answers.same_afterwards(make_case(attacked=False)).verdict == "not_applicable"
    assert answers.same_afterwards(make_case(Limited(honest(), 150))).verdict == "fail"
    assert answers.same_afterwards(make_case(Limited(honest(), 10**6))).verdict == "pass"


def test_a_model_that_answers_at_random_is_not_said_to_count(make_case, around):
    noisy = around(after=lambda logits: logits + 0.3 * torch.randn_like(logits))
    assert answers.same_afterwards(make_case(noisy)).verdict == "not_applicable"
