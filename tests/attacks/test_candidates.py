"""Images that were found against another model: judged once, believed if confirmed, never searched for again."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from robustpeft.attacks import PGD, AttackPlan, Driver, Square
from robustpeft.attacks.candidates import Candidates, _parts
from robustpeft.data.image_store import InMemory
from robustpeft.data.split import Split
from robustpeft.types import L2, Linf

IDS = [10, 11, 12, 13]


class Bright(nn.Module):
    """Class 1 where the mean is above one half; every image below is at 0.4, so 0.11 more turns it, 0.09 does not."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images):
        mean = self.scale * (images.mean(dim=(1, 2, 3)) - 0.5)
        return torch.stack([-mean, mean], dim=1)


@pytest.fixture
def split():
    pixels = torch.full((4, 3, 4, 4), 102, dtype=torch.uint8)
    return Split(InMemory(pixels), torch.arange(4), torch.zeros(4, dtype=torch.int64), torch.tensor(IDS))


def shifted(threat, **by):
    """Return candidates that lie as much above the image, by id."""
    points = [(int(image[1:]), torch.full((3, 4, 4), 0.4 + change)) for image, change in by.items()]
    return Candidates("LoRA (0123)", threat, lambda: iter(points))


def run(split, plan, *candidates, **options):
    return Driver(slots=2, candidates=candidates, **options).run(Bright(), split, plan)


def test_what_is_confirmed_counts_for_every_attack_and_is_not_searched_for(split):
    radii = (Linf(0.11), Linf(0.2))
    plan = AttackPlan((PGD(steps=3),), radii, widest=(PGD(steps=2),), narrow=(Square(queries=3),))
    told = []
    found = run(split, plan, shifted(Linf(0.11), i10=0.11, i11=0.05), on_candidate=lambda *said: told.append(said[:2]))
    row = found.broke(10, 0, 0)
    assert (row.stage, row.forwards, row.backwards, row.extra) == ("sibling@linf 0.11", 1, 0, "LoRA (0123)")
    assert row.norm == pytest.approx(0.11)
    assert found.broke(10, 0, 1) == row  # within a larger radius too
    assert [key for key in found.rows if key[1] == 10 and "pgd" in key[0]] == []
    assert [key for key in found.rows if key[1] == 10 and "square" in key[0]]  # whose questions are counted
    assert found.broke(10, 1, 1) == row  # by the widest as well
    assert found.broke(10, 2, 1) != row
    assert found.candidate(11, 1) is None
    assert found.broke(11, 0, 0).stage.startswith("0.pgd")
    assert told == [(10, 0)]


def test_no_image_holds_because_of_them(split):
    plan = AttackPlan((PGD(steps=2, random_start=False),), (Linf(0.09), Linf(0.12)))
    alone = run(split, plan)
    tried = run(split, plan, shifted(Linf(0.09), i12=0.09), shifted(Linf(0.12), i13=0.12))
    for threat in range(2):
        assert (tried.correct(IDS, None, threat) <= alone.correct(IDS, None, threat)).all()


def test_a_source_of_a_larger_radius_or_of_another_norm_is_left_out(split):
    plan = AttackPlan((PGD(steps=1),), (Linf(0.05),))
    found = run(split, plan, shifted(Linf(0.2), i10=0.2), shifted(L2(9.0), i10=0.2))
    assert [key for key in found.rows if key[0].startswith("sibling")] == []


def test_one_outside_its_own_threat_is_an_error_and_not_a_result(split):
    plan = AttackPlan((PGD(steps=1),), (Linf(0.2),))
    with pytest.raises(RuntimeError, match=r"LoRA \(0123\) left the ball"):
        run(split, plan, shifted(Linf(0.1), i10=0.2))


def test_those_that_the_ledger_holds_are_not_judged_again(split, tmp_path):
    plan = AttackPlan((PGD(steps=1),), (Linf(0.11),))
    source = shifted(Linf(0.11), i10=0.11, i11=0.05, i99=0.1)
    first = run(split, plan, source, directory=tmp_path, keep_images="first")
    told = []
    again = run(split, plan, source, directory=tmp_path, keep_images="first", on_candidate=lambda *a: told.append(a))
    assert again.rows == first.rows
    assert told == []


def test_a_row_says_what_the_judge_saw_how_far_it_was_and_what_it_took(split, monkeypatch):
    clock = iter([100.0, 101.0, 200.0, 202.0])
    monkeypatch.setattr("robustpeft.attacks.candidates.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    plan = AttackPlan((PGD(steps=1, step_size=1e-6),), (Linf(0.11),))
    found = run(split, plan, shifted(Linf(0.11), i10=0.11, i11=0.05, i12=-0.1))
    rows = [found.rows["sibling@linf 0.11", image, 0] for image in (10, 11, 12)]
    assert [row.step for row in rows] == [0, 0, 0]
    assert [row.broken for row in rows] == [True, False, False]
    assert [row.prediction for row in rows] == [1, 0, 0]
    assert [row.margin for row in rows] == pytest.approx([0.02, -0.1, -0.4], abs=1e-6)
    assert [row.norm for row in rows] == [pytest.approx(0.11), 0, 0]
    assert [row.seconds for row in rows] == [0.5, 0.5, 2.0]  # two slots: a second for two images, then two for one


def test_seconds_are_written_to_the_microsecond(split, monkeypatch):
    clock = iter([0.0, 1.0 / 3])
    monkeypatch.setattr("robustpeft.attacks.candidates.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    found = run(split, AttackPlan((PGD(steps=1),), (Linf(0.11),)), shifted(Linf(0.11), i10=0.11))
    assert found.rows["sibling@linf 0.11", 10, 0].seconds == 0.333333


def test_what_cannot_count_is_passed_over_and_the_rest_is_tried(split):
    split.labels[0] = 1  # misclassified as it is
    plan = AttackPlan((PGD(steps=1),), (Linf(0.11),))
    found = run(split, plan, shifted(Linf(0.11), i99=0.1, i10=0.11, i11=0.11, i98=0.1, i12=0.11))
    assert [key for key in found.rows if key[0].startswith("sibling")] == [
        ("sibling@linf 0.11", image, 0) for image in (11, 12)
    ]


def test_a_second_source_is_tried_on_what_the_first_left(split):
    plan = AttackPlan((PGD(steps=1),), (Linf(0.11),))
    sources = shifted(Linf(0.11), i10=0.11, i11=0.05), shifted(Linf(0.11), i10=0.105, i11=0.11)
    found = run(split, plan, *sources)
    tried = {key[1:]: row.broken for key, row in found.rows.items() if key[0].startswith("sibling")}
    assert tried == {(10, 0): True, (11, 0): False, (11, 1): True}


@pytest.mark.parametrize("images", range(8))
def test_they_are_judged_in_full_batches_but_for_the_last(images):
    parts = list(_parts(((image, torch.tensor(image)) for image in range(images)), 3))
    assert [image for part in parts for image, _ in part] == list(range(images))
    assert all(len(part) == 3 for part in parts[:-1])
    assert len(parts) == -(-images // 3)
