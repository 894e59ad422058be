import dataclasses

import pytest
import torch
from torch import nn

from robustpeft.attacks import PGD, AttackPlan, Driver, Findings, Square, search_again
from robustpeft.attacks.candidates import Candidates
from robustpeft.attacks.kept_images import read_kept_images
from robustpeft.attacks.low_precision import Missed
from robustpeft.attacks.plan import CLEAN
from robustpeft.errors import UserError
from robustpeft.records import LedgerRow, read_ledger
from robustpeft.types import Linf

PLAN = AttackPlan((PGD(steps=8),), (Linf(0.005), Linf(0.05)), seed=3)
LOW = Driver(slots=4, precision="bf16")


class High(nn.Module):
    """Logits so large that bfloat16, whose steps are 4 there, cannot tell them apart: it sees class 0 everywhere."""

    def __init__(self, weight):
        super().__init__()
        self.linear = nn.Linear(48, 2)
        with torch.no_grad():
            self.linear.weight.copy_(torch.stack([weight, -weight]))
            self.linear.bias.fill_(800.0)

    def forward(self, images):
        return self.linear(images.flatten(1) - 0.5)


@pytest.fixture
def high(memory_split):
    """Return the model and 12 images on either side of its boundary, 0.01 to 0.04 of Linf away."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(48, generator=generator).sign()
    distances = torch.linspace(0.01, 0.04, 6).repeat(2) * torch.tensor([1.0] * 6 + [-1.0] * 6)
    images = (0.5 + distances[:, None] * weight).reshape(12, 3, 4, 4)
    return High(weight), memory_split(images, (distances < 0).long(), torch.arange(12))


def same(findings):
    return {key: dataclasses.replace(row, seconds=0) for key, row in findings.rows.items()}


def test_the_search_is_asked_in_bf16_and_the_judge_in_float32(high):
    model, split = high
    seen = []
    model.linear.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    LOW.run(model, split, PLAN)
    assert set(seen) == {torch.bfloat16, torch.float32}
    seen.clear()
    Driver(slots=4).run(model, split, PLAN)
    assert set(seen) == {torch.float32}


def test_only_what_holds_in_float32_counts(high, tmp_path):
    model, split = high
    low = dataclasses.replace(LOW, directory=tmp_path, keep_images="all")
    found = low.run(model, split, PLAN)
    points = list(read_kept_images(tmp_path))
    broken = {row.image for row in found.rows.values() if row.broken}
    assert {image for _, image, _ in points} == broken != set()
    for _, image, point in points:
        assert int(model(point[None])[0].argmax()) != int(split.labels[image])


def test_what_bf16_cannot_see_is_found_again_in_float32_and_counted(high):
    model, split = high
    ids = split.ids.tolist()
    low, full = LOW.run(model, split, PLAN), Driver(slots=4).run(model, split, PLAN)
    counts = [[int(f.correct(ids, None, t).sum()) for t in (0, 1)] for f in (low, full)]
    assert counts[1] == [12, 0]
    assert counts[0][1] >= 6  # those of class 0: it is always named
    missed = search_again(LOW, model, split, low, images=12)
    assert missed.held == tuple(counts[0])
    assert missed.broken == tuple(one - other for one, other in zip(*counts, strict=True))
    assert search_again(LOW, model, split, full, images=3).broken == (0, 0)


def test_the_sample_is_part_of_what_held_and_the_same_every_time(high, tmp_path):
    model, split = high
    low = dataclasses.replace(LOW, directory=tmp_path)
    found = low.run(model, split, PLAN)
    first = search_again(low, model, split, found, images=4)
    assert first.held[0] == 4
    sample = {row.image for row in read_ledger(tmp_path / "float32")[1]}
    assert len(sample) == 4
    assert search_again(low, model, split, found, images=4) == first
    assert sample == {row.image for row in read_ledger(tmp_path / "float32")[1]}


def test_where_nothing_held_nothing_is_searched(high):
    model, split = high
    nothing = Findings(PLAN, ())
    assert search_again(LOW, model, split, nothing, images=5) == Missed((0, 0), (0, 0))


@pytest.fixture
def sample_of(monkeypatch, memory_split):
    """Return which images are searched again if all of these held, and by which driver."""

    def sample_of(ids, images, seed=3, driver=LOW):
        plan = dataclasses.replace(PLAN, seed=seed)
        held = [LedgerRow(image, CLEAN, run=0, broken=False, step=0, prediction=0, margin=-1.0) for image in ids]
        findings, seen = Findings(plan, (), {row.key: row for row in held}), []

        def run(again, model, split, plan):
            seen.append((again, split.ids.tolist()))
            return findings

        monkeypatch.setattr(Driver, "run", run)
        split = memory_split(torch.rand(len(ids), 3, 4, 4), torch.zeros(len(ids), dtype=torch.int64), torch.tensor(ids))
        missed = search_again(driver, nn.Identity(), split, findings, images)
        ((again, sample),) = seen
        assert missed == Missed((len(sample),) * 2, (0, 0))
        return again, set(sample)

    return sample_of


def test_the_sample_follows_from_the_seed_and_each_images_id(sample_of):
    ids = list(range(100, 160))
    _, sample = sample_of(ids, 6)
    assert len(sample) == 6
    assert sample_of(ids[::-1], 6)[1] == sample  # whatever the order
    left = [image for image in ids if image in sample or image % 2]
    assert sample_of(left, 6)[1] == sample  # and whoever else is there
    assert sample_of(ids, 3)[1] < sample < sample_of(ids, 12)[1]
    assert len({frozenset(sample_of(ids, 6, seed)[1]) for seed in range(10)}) == 10
    assert len(sample_of(ids, 1)[1]) == 1
    assert sample_of(ids, 1000)[1] == set(ids)


def test_nobody_is_told_of_the_second_search_and_no_sibling_is_asked(sample_of):
    told = {name: lambda *said: None for name in ("observer", "on_found", "on_end")}
    sibling = Candidates("another", Linf(0.05), lambda: iter(()))
    again, _ = sample_of([1, 2, 3], 2, driver=dataclasses.replace(LOW, candidates=(sibling,), **told))
    assert (again.precision, again.slots, again.candidates) == ("float32", LOW.slots, ())
    assert again.observer is again.on_found is again.on_end is None


def test_a_ledger_of_another_precision_is_refused_and_float32_is_as_ever(high, tmp_path, curved, split_of):
    model, split = high
    dataclasses.replace(LOW, directory=tmp_path).run(model, split, PLAN)
    assert read_ledger(tmp_path)[0]["precision"] == "bfloat16"
    with pytest.raises(UserError, match=r"other work|another"):
        Driver(slots=4, directory=tmp_path).run(model, split, PLAN)
    inner = curved()
    images = split_of(inner)
    plan = AttackPlan((PGD(steps=4),), (Linf(0.01),))
    auto = Driver(slots=4, precision="auto").run(inner, images, plan)
    assert same(auto) == same(Driver(slots=4).run(inner, images, plan))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda m, s: Driver(precision="fp8"), "unknown precision 'fp8'"),
        (lambda m, s: search_again(LOW, m, s, Findings(PLAN, ()), images=0), "a sample needs at least 1 image; got 0"),
    ],
)
def test_what_means_nothing_is_refused(high, wrong, sentence):
    with pytest.raises(UserError, match=sentence):
        wrong(*high)


def test_searches_that_spared_most_images_are_not_asked_again(high):
    """What a search by queries finds among images that it was never asked about is not what bfloat16 missed."""
    model, split = high
    weak, strong = AttackPlan((PGD(steps=1, step_size=1e-6),), PLAN.threats), Square(queries=300)
    part = dataclasses.replace(weak, narrow=(strong,), narrow_images=1)
    everywhere = dataclasses.replace(weak, narrow=(strong,))
    assert sum(search_again(LOW, model, split, LOW.run(model, split, part), images=12).broken) == 0
    assert int(Driver(slots=4).run(model, split, everywhere).correct(split.ids.tolist(), None, 1).sum()) < 12
