import torch

from robustpeft.auditing.specimens.dropout import dropout_left_on, left_in_training_mode
from robustpeft.types import frozen_twin


def test_eval_mode_does_not_switch_it_off(model):
    broken = frozen_twin(dropout_left_on(model).eval())
    torch.manual_seed(0)
    kept = broken.activation[1](torch.ones(10_000))
    assert set(kept.unique().tolist()) == {0.0, torch.tensor(1 / 0.9).item()}
    assert abs((kept == 0).float().mean() - 0.1) < 0.01


def test_eval_mode_switches_off_what_was_forgotten(model, images):
    broken = left_in_training_mode(model)
    assert broken.before.training
    assert not broken.inner.training
    assert torch.equal(broken.eval()(images), model(images))
    assert broken.before.p == 0.02
