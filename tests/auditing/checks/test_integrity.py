import dataclasses

import torch
from torch import nn

from robustpeft.auditing.checks import integrity
from robustpeft.auditing.checks.case import Sample


def with_images(case, change):
    sample = case.sample
    case.__dict__["sample"] = Sample(change(sample.images), sample.labels, sample.ids)
    return case


def test_images_outside_the_box_are_noticed(make_case):
    assert integrity.input_range(make_case(attacked=False)).verdict == "pass"
    eight_bit = integrity.input_range(with_images(make_case(attacked=False), lambda x: 255 * x))
    assert eight_bit.verdict == "fail"
    assert "8-bit" in eight_bit.evidence
    normalised = integrity.input_range(with_images(make_case(attacked=False), lambda x: (x - 0.5) / 0.2))
    assert normalised.verdict == "fail"
    assert "normalised" in normalised.evidence
    assert integrity.input_range(with_images(make_case(attacked=False), lambda x: x * torch.nan)).verdict == "fail"


def test_labels_beyond_the_logits_are_noticed(make_case, make_split):
    case = make_case(attacked=False)
    assert case.logits.shape == (24, 3)  # asked while the labels fit
    assert integrity.labels_valid(case).verdict == "pass"
    labels = case.setting.split.labels.clone()
    labels[5] = 3
    case.__dict__["setting"] = dataclasses.replace(case.setting, split=make_split(labels=labels))
    answer = integrity.labels_valid(case)
    assert answer.verdict == "fail"
    assert answer.evidence.startswith("1 of 48")


def test_exchanged_classes_are_noticed_and_named(make_case, make_split):
    assert integrity.label_order(make_case()).verdict == "pass"
    labels = make_split().labels
    exchanged = torch.where(labels == 0, 1, torch.where(labels == 1, 0, labels))
    answer = integrity.label_order(make_case(split=make_split(labels=exchanged)))
    assert answer.verdict == "fail"
    assert "a is called b, b is called a" in answer.evidence
    moved = integrity.label_order(make_case(split=make_split(labels=(labels + 1) % 3)))
    assert moved.verdict == "fail"


def test_a_model_that_guesses_is_not_said_to_have_exchanged_classes(make_case, make_split):
    labels = torch.arange(48) % 3
    assert integrity.label_order(make_case(split=make_split(labels=labels))).verdict == "pass"


def test_few_images_do_not_show_an_exchange(make_case, make_split):
    split = make_split(8)
    labels = torch.where(split.labels == 0, 1, torch.where(split.labels == 1, 0, split.labels))
    assert integrity.label_order(make_case(split=make_split(8, labels=labels))).verdict == "pass"


class Waking(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner, self.dropout = inner, nn.Dropout(0.0)

    def forward(self, images):
        self.dropout.train()
        return self.inner(self.dropout(images))


def test_a_module_that_wakes_up_in_the_forward_is_noticed(make_case, honest):
    assert integrity.eval_mode(make_case(honest().train(), attacked=False)).verdict == "pass"
    answer = integrity.eval_mode(make_case(Waking(honest()), attacked=False))
    assert answer.verdict == "fail"
    assert "dropout" in answer.evidence
    assert integrity.eval_mode(make_case(honest().forward, attacked=False)).verdict == "not_applicable"


class Counting(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images):
        self.calls.add_(1)
        return self.inner(images)


def test_a_model_that_remembers_its_calls_is_noticed(make_case, honest):
    assert integrity.model_unchanged(make_case()).verdict == "pass"
    answer = integrity.model_unchanged(make_case(Counting(honest())))
    assert answer.verdict == "fail"
    assert "buffers calls" in answer.evidence


def test_copies_are_counted(make_case, make_split):
    assert integrity.data_identity(make_case()).verdict == "pass"
    pixels = torch.cat([torch.randint(60, 190, (20, 3, 6, 6), dtype=torch.uint8)] * 2)
    answer = integrity.data_identity(make_case(split=make_split(pixels=pixels)))
    assert answer.verdict == "warn"
    assert answer.evidence.startswith("20 of 40")
    case = make_case(attacked=False)
    assert "not compared" in integrity.data_identity(case).evidence


class Masking(nn.Module):
    def __init__(self, inner, share):
        super().__init__()
        self.inner, self.dropout = inner, nn.Dropout(share)

    def forward(self, images):
        return self.inner(self.dropout(images))


def test_a_part_left_in_training_mode_is_noticed_where_it_matters(make_case, honest):
    model = Masking(honest(), 0.2).eval()
    model.dropout.train()
    answer = integrity.eval_mode(make_case(model, attacked=False))
    assert answer.verdict == "fail"
    assert "dropout" in answer.evidence
    assert model.dropout.training
    idle = Masking(honest(), 0.0).eval()
    idle.dropout.train()
    assert integrity.eval_mode(make_case(idle, attacked=False)).verdict == "pass"
    assert integrity.eval_mode(make_case(Masking(honest(), 0.2).train(), attacked=False)).verdict == "pass"


def test_asking_for_the_mode_moves_no_statistics(make_case, honest):
    norm = nn.BatchNorm2d(3)
    model = nn.Sequential(norm, honest()).eval()
    norm.train()
    before = norm.running_mean.clone()
    assert integrity.eval_mode(make_case(model, attacked=False)).verdict == "fail"
    assert torch.equal(norm.running_mean, before)
