import contextlib

import torch

from robustpeft.training import fit


class Decay:
    """Pulls the weights to zero by a penalty, and after every fourth step sets half of them there."""

    def __init__(self, model):
        self.weight = model[2].weight
        self.calls = []
        self.seen = torch.zeros(())

    def penalty(self):
        return 0.5 * self.weight.square().sum()

    def after_step(self, done, of):
        assert self.weight.grad is not None
        self.calls.append((done, of))
        self.seen += self.weight.detach().sum()
        if done % 4 == 0:
            with torch.no_grad():
                self.weight[:, ::2] = self.seen

    def state(self):
        return {"seen": self.seen.clone()}

    def load_state(self, tensors):
        self.seen = tensors["seen"].clone()


def accompanied(task):
    task.tunable.companion = Decay(task.tunable.model)
    return task


def test_it_is_called_after_every_step_with_the_steps_in_all(make_task, tmp_path):
    task = accompanied(make_task())
    fit(task, tmp_path)
    assert task.tunable.companion.calls == [(done, 16) for done in range(1, 17)]


def test_its_penalty_moves_what_is_trained(make_task, tmp_path):
    free, pulled = make_task(averaging=0.0), make_task(averaging=0.0)
    pulled.tunable.companion = Decay(pulled.tunable.model)
    pulled.tunable.companion.after_step = lambda done, of: None
    fit(free, tmp_path / "free")
    fit(pulled, tmp_path / "pulled")
    sizes = [float(task.tunable.model[2].weight.detach().square().sum()) for task in (free, pulled)]
    assert sizes[1] < 0.9 * sizes[0]


def test_a_run_killed_at_any_step_resumes_with_what_it_remembered(make_task, tmp_path):
    whole = accompanied(make_task(dropout=0.5))
    fit(whole, tmp_path / "whole")
    for stop in (2, 6, 9, 13):

        def kill(progress, stop=stop):
            if progress.step == stop:
                raise KeyboardInterrupt

        directory = tmp_path / str(stop)
        with contextlib.suppress(KeyboardInterrupt):
            fit(accompanied(make_task(dropout=0.5)), directory, observer=kill)
        resumed = accompanied(make_task(dropout=0.5))
        fit(resumed, directory, resume=True)
        assert torch.equal(resumed.tunable.model[2].weight, whole.tunable.model[2].weight)
        assert torch.equal(resumed.tunable.companion.seen, whole.tunable.companion.seen)


def test_a_phase_that_trains_the_head_alone_goes_without_it(make_task, tmp_path):
    from robustpeft.training import Phase

    task = accompanied(make_task(before=(Phase(epochs=1, trains="head"),)))
    fit(task, tmp_path)
    assert task.tunable.companion.calls[0] == (1, 16)
    assert len(task.tunable.companion.calls) == 16
