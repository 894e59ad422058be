import dataclasses

import torch

from robustpeft.attacks import PGD, margin
from robustpeft.attacks.ensemble import Ensemble, stage_stream
from robustpeft.types import Linf, Noise


@dataclasses.dataclass(frozen=True)
class Twice(Ensemble):
    cost = "those of its stages"

    def stages(self, classes):
        return PGD(steps=1, random_start=False, step_size=0.0015), PGD(steps=6)


def test_later_stages_work_on_what_is_left_and_the_best_of_all_comes_back(curved):
    model = curved().eval()
    images = torch.rand(12, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    labels = model(images).argmax(1)
    labels[-2:] = (labels[-2:] + 1) % 4
    threat = Linf(0.005)
    model.widths.clear()
    found = Twice()(model, images, labels, threat, ids=torch.arange(12))
    widths = list(model.widths)
    first, _ = Twice().stages(4)
    one = first(model, images, labels, threat, ids=torch.arange(12))
    left = [row for row in range(10) if margin(model(one), labels)[row] <= 0]
    assert 0 < len(left) < 10
    assert widths == [12] + [10] * (2 + 1) + [len(left)] * (7 + 1)
    assert torch.equal(found[-2:], images[-2:])
    margins = margin(model(found), labels)
    assert (margins[:10] >= margin(model(one), labels)[:10] - 1e-5).all()
    assert (margins[left] > 0).any()


def test_each_stage_has_chance_of_its_own():
    assert [stage_stream(number, PGD()) for number in range(3)] == ["PGD", "PGD/1", "PGD/2"]
    bits = [Noise(0, torch.tensor([1]), stage_stream(number, PGD())).bits((4,)) for number in range(2)]
    assert not torch.equal(*bits)
