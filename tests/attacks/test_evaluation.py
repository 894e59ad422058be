import pytest
import torch

from robustpeft.attacks.evaluation import Health, check_classes, check_logits, evaluate
from robustpeft.attacks.losses import find_loss
from robustpeft.errors import UserError

LABELS = torch.tensor([0, 1, 2])


@pytest.fixture
def points():
    return torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def model(curved):
    return curved().eval()


def test_the_gradient_is_that_of_each_images_own_loss(model, points):
    reply = evaluate(model, points, LABELS, find_loss("margin"))
    for row in range(3):
        point = points[row : row + 1].clone().requires_grad_()
        logits = model(point)[0]
        others = torch.cat([logits[: LABELS[row]], logits[LABELS[row] + 1 :]]).max()
        (others - logits[LABELS[row]]).backward()
        torch.testing.assert_close(reply.gradient[row], point.grad[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(reply.loss[row], (others - logits[LABELS[row]]).detach(), rtol=1e-4, atol=1e-5)
    assert not any(tensor.requires_grad for tensor in (reply.logits, reply.loss, points))


def test_without_a_loss_there_are_logits_alone_and_no_graph(model, points):
    reply = evaluate(lambda x: model(x) if not torch.is_grad_enabled() else 1 / 0, points, LABELS)
    assert torch.equal(reply.logits, model(points).detach())
    assert reply.loss is reply.gradient is None


def test_without_backward_everything_else_is_the_same(model, points):
    one, other = (evaluate(model, points, LABELS, find_loss("cross_entropy"), backward=b) for b in (True, False))
    assert torch.equal(one.logits, other.logits)
    assert torch.equal(one.loss, other.loss)
    assert other.gradient is None


def test_samples_are_averaged(model, points):
    shifts = iter([1.0, 3.0, 5.0])
    reply = evaluate(lambda x: model(x) + next(shifts), points, LABELS, find_loss("margin"), samples=3)
    one = evaluate(model, points, LABELS, find_loss("margin"))
    torch.testing.assert_close(reply.logits, one.logits + 3)
    torch.testing.assert_close(reply.loss, one.loss)
    torch.testing.assert_close(reply.gradient, one.gradient)
    assert next(shifts, None) is None


@pytest.mark.parametrize("loss", [None, "margin"])
def test_the_model_is_asked_once_unless_more_samples_are_wanted(model, points, loss):
    evaluate(model, points, LABELS, loss and find_loss(loss))
    assert model.widths == [3]


def test_a_targeted_loss_is_told_the_targets(model, points):
    found = [
        evaluate(model, points, LABELS, find_loss("targeted_margin"), targets=torch.full((3,), target)).loss
        for target in (0, 3)
    ]
    assert not torch.equal(*found)


def test_answers_are_looked_at_at_once_unless_somebody_else_keeps_watch(model, points):
    def ailing(images):
        return model(images) / 0

    with pytest.raises(UserError, match="not finite"):
        evaluate(ailing, points, LABELS)
    for loss in (None, find_loss("margin")):
        health = Health()
        evaluate(ailing, points, LABELS, loss, health=health)
        assert health.classes == 4  # so the labels need not be looked at again
        with pytest.raises(UserError, match="not finite"):
            health.settle()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_health_remembers_the_first_ailment_and_says_it_when_asked(value, caplog):
    sound, ill, gradient = torch.zeros(2, 3), torch.tensor([[0.0] * 3, [0, value, 0]]), torch.ones(2, 3, 2, 2)
    for watched, sentence in (((ill, gradient), "logits"), ((sound, gradient * value), "gradient at the images")):
        health = Health()
        health.watch(sound, gradient)
        health.settle()
        assert int(health.ailment) == 0
        health.watch(*watched)
        health.watch(sound, None)
        assert int(health.ailment) != 0
        with pytest.raises(UserError, match=f"{sentence}.* not finite"):
            health.settle()
    assert int(Health().ailment) == 0
    Health().settle()  # nobody has answered yet
    assert caplog.text == ""


def test_gradients_that_vanish_are_counted_and_said(caplog):
    health = Health()
    for zeros in (1, 2, 0):
        gradient = torch.ones(3, 3, 2, 2)
        gradient[:zeros] = 0
        gradient[2, 0] = -torch.arange(4.0).reshape(2, 2)  # its values are not above 0
        gradient[2, 1:] = 0
        health.watch(torch.zeros(3, 4), gradient)
    health.settle()
    assert "2 of 3 images have a gradient of exactly 0" in caplog.text


@pytest.mark.parametrize(
    "logits", [None, torch.zeros(3), torch.zeros(2, 4), torch.zeros(3, 4, 1), (torch.zeros(3, 4),)]
)
def test_what_are_no_logits_is_refused(logits):
    with pytest.raises(UserError, match=r"must return logits \(batch, classes\); got"):
        check_logits(logits, LABELS)


def test_logits_become_float32():
    assert check_logits(torch.zeros(3, 4, dtype=torch.bfloat16), LABELS).dtype == torch.float32


def test_labels_and_losses_must_fit_the_classes():
    check_classes(torch.zeros(3, 3), LABELS, find_loss("dlr"))
    with pytest.raises(UserError, match=r"labels must be in \[0, 2\)"):
        check_classes(torch.zeros(3, 2), LABELS, None)
    with pytest.raises(UserError, match="DLR needs at least 3 classes; the model has 2"):
        check_classes(torch.zeros(2, 2), LABELS[:2], find_loss("dlr"))
    with pytest.raises(UserError, match=r"labels must be in \[0, 1\)"):  # nobody has looked at them before
        check_classes(torch.zeros(3, 1), LABELS, None, Health())


def test_a_loss_that_means_nothing_for_so_few_classes_is_refused_when_asked_for(model, points):
    with pytest.raises(UserError, match="DLR needs at least 3 classes; the model has 2"):
        evaluate(lambda x: model(x)[:, :2], points, LABELS % 2, find_loss("dlr"))


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.detach().flatten(1),
        lambda x: torch.ones(3, 4),
        lambda x: 2 * torch.ones(3, 4, requires_grad=True),  # a graph without the images
    ],
)
def test_a_model_without_gradient_is_refused(points, view):
    with pytest.raises(UserError, match="no gradient back to the images"):
        evaluate(view, points, LABELS, find_loss("cross_entropy"))


@pytest.mark.parametrize("loss", [None, "margin"])
def test_a_model_may_change_its_images_in_place_and_answer_in_one_tensor(model, points, loss):
    answer = torch.empty(3, 4)

    def careless(images):
        images.sub_(0.5)
        return answer.copy_(model(images).detach()) if loss is None else model(images)

    before = points.clone()
    attacked = None if loss is None else find_loss(loss)
    reply = evaluate(careless, points, LABELS, attacked)
    assert torch.equal(points, before)
    assert torch.equal(reply.points, before)
    expected = reply.logits.clone()
    evaluate(careless, 1 - points, LABELS, attacked)
    assert torch.equal(reply.logits, expected)


def test_the_mean_of_logits_alone_has_neither_loss_nor_gradient(model, points):
    shifts = iter([1.0, 5.0])
    reply = evaluate(lambda x: model(x) + next(shifts), points, LABELS, samples=2)
    torch.testing.assert_close(reply.logits, model(points).detach() + 3)
    assert reply.loss is reply.gradient is None


def test_the_mean_of_losses_is_not_the_loss_of_the_mean(model, points):
    scales = iter([1.0, 3.0])
    reply = evaluate(lambda x: next(scales) * model(x), points, LABELS, find_loss("cross_entropy"), samples=2)
    each = [evaluate(lambda x, s=s: s * model(x), points, LABELS, find_loss("cross_entropy")) for s in (1.0, 3.0)]
    torch.testing.assert_close(reply.loss, (each[0].loss + each[1].loss) / 2)
    torch.testing.assert_close(reply.gradient, (each[0].gradient + each[1].gradient) / 2)
    assert torch.equal(reply.points, points)
