import torch
from torch import nn

from robustpeft.objectives import Natural
from robustpeft.training import Phase, measure_cost
from robustpeft.training.cost import SavedBytes


def test_bytes_saved_at_one_time_are_counted_once_and_given_back():
    counter = SavedBytes(iter([]))
    x = torch.zeros(1000, requires_grad=True)
    with counter.counting():
        y = x.sin()  # saves x: 4000 bytes
        z = y * y  # saves y twice, one storage: 4000 bytes
        assert counter.now == 8000
        z.sum().backward()
    assert counter.peak == 8000
    del y, z
    assert counter.now == 0


def test_what_was_there_before_is_not_counted():
    layer = nn.Linear(10, 10)
    counter = SavedBytes(iter(layer.parameters()))
    with counter.counting():
        layer(torch.zeros(5, 10, requires_grad=True))
    assert counter.peak == 5 * 10 * 4


def test_measuring_leaves_no_trace_and_counts_all_steps(make_task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = make_task(dropout=0.5, before=(Phase(2),), averaging=0.9)
    before = {n: p.detach().clone() for n, p in task.tunable.named_parameters().items()}
    state = torch.random.get_rng_state()
    cost = measure_cost(task, steps=2)
    assert all(torch.equal(before[n], p) and p.requires_grad for n, p in task.tunable.named_parameters().items())
    assert torch.equal(state, torch.random.get_rng_state())
    assert list(tmp_path.iterdir()) == []
    assert (cost.trained, cost.trained_head, cost.steps) == (98, 2, 6 * 4)
    assert cost.seconds == cost.steps * cost.step_seconds + 5 * cost.validation_seconds
    adapter, steps = 98 * 4, 2 * 4  # AdamW: two moments a weight, one counter a tensor
    assert cost.disk_bytes == 2 * (adapter * 3 + 2 * adapter + steps) + adapter
    assert not cost.memory_is_measured


def test_more_images_take_more_memory_and_micro_batches_less(make_task):
    def memory(**plan):
        return measure_cost(make_task(objective=Natural(), **plan), steps=1).memory_bytes

    assert memory(batch_size=32) - memory(batch_size=16) >= 16 * 48 * 4  # the input of the linear layer
    assert memory(batch_size=32, micro_batch_size=4) < memory(batch_size=32)
