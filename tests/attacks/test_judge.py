import pytest
import torch
from torch import nn

from robustpeft.attacks import Judge, margin
from robustpeft.errors import UserError


@pytest.fixture
def model(curved):
    return curved()


@pytest.fixture
def images():
    return torch.rand(9, 3, 4, 4, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def labels():
    return torch.arange(9) % 4


@pytest.mark.parametrize("number", [1, 3, 4, 5, 9])
def test_every_batch_has_one_shape_and_a_verdict_is_that_of_the_image_alone(model, images, labels, number):
    judge = Judge(model, 4)
    whole, part = judge(images, labels), judge(images[:number], labels[:number])
    assert set(model.widths) == {4}
    assert judge.forwards == 9 + number
    assert torch.equal(part.logits, whole.logits[:number])
    assert torch.equal(part.predictions, whole.logits[:number].argmax(1))
    assert torch.equal(part.margins, margin(part.logits, labels[:number]))
    torch.testing.assert_close(whole.logits, model.eval()(images).detach(), rtol=1e-5, atol=1e-5)


def test_nothing_asked_is_nothing_answered(model, images, labels):
    verdict = Judge(model, 4)(images[:0], labels[:0])
    assert len(verdict.predictions) == len(verdict.margins) == 0
    assert model.widths == []


def test_it_asks_the_model_as_it_is_and_not_its_folded_form(images, labels):
    class Offset(nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :4]

        def folded(self):
            raise AssertionError("the judge must not fold")

    assert torch.equal(Judge(Offset(), 4)(images, labels).logits, images.flatten(1)[:, :4])


def test_answers_in_half_precision_are_compared_as_float32(curved, images, labels):
    verdict = Judge(curved().bfloat16(), 4)(images, labels)
    assert verdict.logits.dtype == verdict.margins.dtype == torch.float32
    assert Judge(curved().double(), 4) is not None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_answers_that_are_no_numbers_are_refused(model, images, labels, value):
    model.damage = lambda number, logits: logits + torch.tensor([0, value, 0, 0])
    with pytest.raises(UserError, match="not finite"):
        Judge(model, 4)(images, labels)


def test_labels_that_are_no_classes_are_refused(model, images):
    with pytest.raises(UserError, match=r"labels must be in \[0, 4\); found 4 to 4"):
        Judge(model, 4)(images, torch.full((9,), 4))


def test_logits_of_another_shape_are_refused(images, labels):
    with pytest.raises(UserError, match=r"must return logits \(batch, classes\)"):
        Judge(lambda images: images.flatten(1)[0], 4)(images, labels)
