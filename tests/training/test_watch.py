import logging

import torch
from safetensors.torch import load_file

from robustpeft.training.watch import CollapseWatch, keep_batch


def told(caplog, predicted, labels, steps=3, times=3):
    watch = CollapseWatch(steps)
    with caplog.at_level(logging.WARNING):
        for step in range(1, times + 1):
            watch.see(torch.tensor(predicted), torch.tensor(labels), step)
    return [record.getMessage() for record in caplog.records]


def test_a_constant_prediction_is_told_once_with_its_step(caplog):
    said = told(caplog, [2] * 10, [0, 1, 2, 3, 4] * 2, times=9)
    assert len(said) == 1
    assert said[0].startswith("by step 3 nearly all")


def test_one_class_that_is_right_is_no_collapse(caplog):
    assert told(caplog, [2] * 10, [2] * 9 + [1]) == []


def test_one_other_answer_in_ten_is_no_collapse(caplog):
    assert told(caplog, [2] * 9 + [1], [0, 1, 2, 3, 4] * 2) == []


def test_too_few_steps_say_nothing(caplog):
    assert told(caplog, [2] * 10, [0, 1] * 5, times=2) == []


def test_after_a_recovery_it_is_told_again(caplog):
    watch = CollapseWatch(2)
    labels = torch.tensor([0, 1, 2, 3])
    with caplog.at_level(logging.WARNING):
        for step, predicted in enumerate([[1] * 4] * 2 + [[0, 1, 2, 3]] * 2 + [[3] * 4] * 2, start=1):
            watch.see(torch.tensor(predicted), labels, step)
    assert [record.getMessage().split()[2] for record in caplog.records] == ["2", "6"]


def test_it_looks_once_in_so_many_steps(caplog):
    watch = CollapseWatch(2)
    labels = torch.tensor([0, 1, 2, 3])
    with caplog.at_level(logging.WARNING):
        for step, predicted in enumerate([[0, 1, 2, 3]] * 3 + [[3] * 4] * 3, start=1):
            watch.see(torch.tensor(predicted), labels, step)
    assert [record.getMessage().split()[2] for record in caplog.records] == ["6"]  # steps 4 and 5 are all alike too


def test_unknown_predictions_are_passed_over(caplog):
    watch = CollapseWatch(1)
    watch.see(None, torch.tensor([0, 1]), 1)
    watch.see(torch.tensor([0, 0, 0]), torch.tensor([0, 1]), 2)
    assert not watch.collapsed


def test_the_batch_is_kept_whole(tmp_path, make_task):
    batch = next(make_task().train.batches(4))
    kept = load_file(keep_batch(batch, tmp_path))
    assert torch.equal(kept["images"], batch.images)
    assert torch.equal(kept["labels"], batch.labels)
    assert torch.equal(kept["ids"], batch.ids)
