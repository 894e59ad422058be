"""Images that were found against another model: judged once, believed if confirmed, never searched for again."""

import pytest
import torch
from torch import nn

from robustpeft.attacks import PGD, AttackPlan, Driver, Square
from robustpeft.attacks.candidates import Candidates
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
