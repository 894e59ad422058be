import logging

import pytest
import torch
from torch import nn

from robustpeft.errors import UserError
from robustpeft.objectives import Loss, Natural, Objective
from robustpeft.training import AttackRamp, EpsilonRamp, NotFiniteError, Phase, fit
from robustpeft.training.memory import AtOnce
from robustpeft.training.processes import Processes
from robustpeft.training.stepper import Step, Stepper


class Small(nn.Module):
    """A classifier that has no memory for more than so many images at once: in training mode, and under attack."""

    def __init__(self, inner, training, attacked):
        super().__init__()
        self.inner, self.room, self.calls = inner, {True: training, False: attacked}, []

    def forward(self, images):
        self.calls.append((self.training, len(images)))
        if len(images) > self.room[self.training]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return self.inner(images)


def with_room(task, training=1000, attacked=1000):
    task.tunable.model = Small(task.tunable.model, training, attacked)
    task.tunable.is_head = lambda name: name == "inner.2.bias"
    return task


def trained(task):
    return {name.removeprefix("inner."): p.detach().clone() for name, p in task.tunable.named_parameters().items()}


def stepper(task, phase=None):
    return Stepper(task, phase or task.plan.phases()[-1], AtOnce(task.plan.micro_batch_size), Processes())


@pytest.mark.parametrize("size", [1, 5, 16])
def test_micro_batches_train_the_same_adapter(make_task, tmp_path, size):
    """After 16 steps: within 1e-6 of the largest weight; only the order of float32 sums differs."""
    whole, parts = make_task(), make_task(micro_batch_size=size)
    fit(whole, tmp_path / "whole")
    assert fit(parts, tmp_path / "parts").micro_batch_size == size
    one, two = trained(whole), trained(parts)
    scale = max(value.abs().max() for value in one.values())
    assert max((one[name] - two[name]).abs().max() for name in one) <= 1e-6 * scale


def test_where_memory_runs_out_the_step_is_done_in_parts_and_it_is_said(make_task, tmp_path, caplog):
    whole, small = make_task(), with_room(make_task(), training=5)
    fit(whole, tmp_path / "whole")
    with caplog.at_level(logging.WARNING):
        result = fit(small, tmp_path / "small")
    assert result.micro_batch_size == 4  # 16, 8, 4
    said = [r.getMessage() for r in caplog.records if "out of memory at step 0" in r.getMessage()]
    assert [words.partition("): ")[2] for words in said] == [
        "the parameter pass takes 8 images at once from now on, to the same result",
        "the parameter pass takes 4 images at once from now on, to the same result",
    ]
    one, two = trained(whole), trained(small)
    assert all(torch.allclose(one[name], two[name], rtol=1e-6, atol=1e-7) for name in one)


def test_the_attack_keeps_the_whole_batch_unless_it_is_what_does_not_fit(make_task):
    task = with_room(make_task(epsilon_ramp=EpsilonRamp(0, 0)), training=4)
    steps = stepper(task)
    task.tunable.train(True)
    steps.step(next(task.train.batches(16)), Step(0, 0, 16))
    assert {n for training, n in task.tunable.model.calls if not training} == {16}
    task = with_room(make_task(epsilon_ramp=EpsilonRamp(0, 0)), attacked=4)
    steps = stepper(task)
    task.tunable.train(True)
    steps.step(next(task.train.batches(16)), Step(0, 0, 16))
    assert steps.at_once == AtOnce(None, 4)
    assert task.tunable.model.calls[-1] == (True, 16)


def test_one_image_that_does_not_fit_is_the_end(make_task, tmp_path):
    with pytest.raises(UserError, match="the parameter pass with one image at once"):
        fit(with_room(make_task(objective=Natural()), training=0), tmp_path)


def test_other_errors_are_not_taken_for_want_of_memory(make_task, tmp_path):
    class Wrong(Objective):
        adversarial = False

        def prepare(self, model, lesson, moment):
            return lesson

        def loss(self, model, lesson):
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        fit(make_task(objective=Wrong()), tmp_path)


def test_a_phase_of_the_head_leaves_all_else_without_gradient_or_state(make_task):
    task = make_task()
    before = trained(task)
    steps = stepper(task, Phase(1, learning_rate=0.5))
    steps.step(next(task.train.batches(16)), Step(0, 0, 4))
    after = trained(task)
    assert torch.equal(before["2.weight"], after["2.weight"])
    assert not torch.equal(before["2.bias"], after["2.bias"])
    assert task.tunable.model[2].weight.grad is None
    assert [p for g in steps.optimizer.param_groups for p in g["params"]] == [task.tunable.model[2].bias]


def test_a_head_that_is_not_there_cannot_be_trained_first(make_task):
    task = make_task()
    task.tunable.is_head = lambda name: False
    with pytest.raises(UserError, match="no head that is trained"):
        stepper(task, Phase(1))


def test_a_natural_phase_has_no_adversary(make_task):
    task = make_task()
    assert stepper(task, Phase(1, objective="natural")).threat(Step(0, 3, 4)).epsilon == 0
    assert stepper(task, Phase(1)).threat(Step(0, 0, 4)).epsilon == 0.02


def test_the_attack_ramp_follows_the_phase(make_task):
    steps = stepper(make_task(attack_ramp=AttackRamp(first=1, end=0.5)))
    assert [steps._objective(Step(99, done, 4)).attack.steps for done in (0, 1, 2)] == [1, 1, 2]


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_step_into_nowhere_is_not_taken(make_task, what):
    class Breaks(Objective):
        adversarial = False

        def prepare(self, model, lesson, moment):
            return lesson

        def loss(self, model, lesson):
            logits = model(lesson.images)
            if what == "loss":
                return Loss(logits.mean() * float("nan"))
            return Loss((logits * 0).abs().sqrt().mean())  # 0, with an infinite gradient

    task = make_task(objective=Breaks())
    before = trained(task)
    with pytest.raises(NotFiniteError, match=f"the {what} is not finite at step 7"):
        stepper(task).step(next(task.train.batches(16)), Step(7, 0, 4))
    assert all(torch.equal(before[name], value) for name, value in trained(task).items())


def test_predictions_are_those_of_the_training_pass_in_the_order_of_the_batch(make_task):
    for size in (None, 3):
        task = make_task(objective=Natural(), micro_batch_size=size, learning_rate=1e-9)
        batch = next(task.train.batches(16))
        taken = stepper(task).step(batch, Step(0, 0, 4))
        assert torch.equal(taken.predicted, task.tunable.model(batch.images).argmax(1))
        assert taken.met is None
        assert not task.tunable.model._forward_hooks


def test_the_share_met_is_the_mean_over_parts_of_any_size(make_task):
    whole, apart = (
        stepper(task).step(next(task.train.batches(16)), Step(0, 3, 4))
        for task in (make_task(), make_task(micro_batch_size=5))
    )
    assert float(whole.met) == pytest.approx(float(apart.met))
    assert whole.loss == pytest.approx(apart.loss)
    assert torch.equal(whole.predicted, apart.predicted)


def test_in_bf16_passes_are_cast_and_weights_are_not(make_task):
    kinds = set()

    class Sees(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, images):
            logits = self.inner(images)
            kinds.add((self.training, logits.dtype))
            return logits

    task = make_task(precision="bf16", epsilon_ramp=EpsilonRamp(0, 0))
    task.tunable.model = Sees(task.tunable.model)
    before = trained(task)
    task.tunable.train(True)
    taken = stepper(task).step(next(task.train.batches(16)), Step(0, 0, 4))
    assert kinds == {(True, torch.bfloat16), (False, torch.bfloat16)}
    full = stepper(make_task(epsilon_ramp=EpsilonRamp(0, 0))).step(next(task.train.batches(16)), Step(0, 0, 4))
    assert taken.loss == pytest.approx(full.loss, rel=0.02)
    assert taken.loss != full.loss
    after = trained(task)
    assert {value.dtype for value in after.values()} == {torch.float32}
    assert not torch.equal(before["2.weight"], after["2.weight"])
