import dataclasses

import torch

from robustpeft.attacks import PGD, margin
from robustpeft.attacks.base import Attack
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


def test_each_stage_draws_under_its_own_name_for_the_images_that_are_left(curved):
    heard = []

    @dataclasses.dataclass(frozen=True)
    class Listener(Attack):
        cost = "nothing"

        def stages(self, classes):
            return (self,)

        def search(self, view, target):
            heard.append((target.noise.stream, target.noise.ids.tolist()))
            return target.images

    @dataclasses.dataclass(frozen=True)
    class Both(Ensemble):
        cost = "that of its stages"

        def stages(self, classes):
            return Listener(), Listener()

    model, images = curved().eval(), torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    labels = model(images).argmax(1)
    labels[1] = (labels[1] + 1) % 4
    Both()(model, images, labels, Linf(0.1), ids=torch.tensor([7, 8, 9]))
    assert heard == [("Listener", [7, 9]), ("Listener/1", [7, 9])]
