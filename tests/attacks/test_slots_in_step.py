"""Do the searches of the table look in slots where they look by themselves, and how often, and how is that said?"""

import pytest
import torch

from robustpeft.attacks import APGD, FAB, FGSM, FMN, PGD, HardLabel, Judge, Square, Target
from robustpeft.attacks.jobs import Job, Work
from robustpeft.attacks.slots import Slots
from robustpeft.types import Linf, Noise


def work(search, view, width=3):
    return Work(view, Judge(view, width), search, "s", "0.x@linf 0.1", Linf(0.1), 5, 2, width)


def jobs(number):
    return [Job(torch.full((3, 4, 4), 0.5), 0, 10 + place, torch.tensor([1.0, 0])) for place in range(number)]


def run(what, todo):
    found = []
    Slots(what, iter(todo), found.extend).run()
    return found


SEARCHES = [
    FGSM(),
    PGD(steps=3, restarts=2, momentum=0.5, samples=2),
    PGD(steps=3, loss="targeted_margin"),
    PGD(steps=3, loss="kl"),
    APGD(steps=3),
    FAB(steps=3, restarts=2),
    FMN(steps=3),
    Square(queries=6, restarts=2),
    HardLabel(queries=8, restarts=2),
]


@pytest.mark.parametrize("search", SEARCHES, ids=str)
@pytest.mark.parametrize("refuted", [False, True])
def test_a_search_looks_where_it_does_without_slots_whatever_the_judge_refutes(curved, recorded, search, refuted):
    model = curved().eval()
    image = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(5))
    clean = model(image[None])[0].detach()
    label = int(clean.argsort()[-2 if refuted else -1])  # where it is wrong from the start, or stays right
    threat = Linf(1e-5)
    alone, in_slots = recorded(model), recorded(model)
    target = Target(image[None], torch.tensor([label]), threat, Noise(5, torch.tensor([10]), "s"))
    search.search(alone, target)
    what = Work(
        in_slots, Judge(lambda images: torch.eye(4)[[label]], 1), search, "s", "0.x@linf", threat, 5, 4, width=1
    )
    found = run(what, [Job(image, label, 10, clean)])
    assert not any(each.row.broken for each in found)
    asked_clean = search.course(4).needs_clean
    assert len(alone.seen) - asked_clean == len(in_slots.seen)
    for one, other in zip(alone.seen[asked_clean:], in_slots.seen, strict=True):
        assert torch.equal(one, other)


def test_gradients_that_vanish_are_said_once_a_stage(caplog):
    run(work(PGD(steps=4), lambda images: 0 * images.flatten(1)[:, :2] + torch.tensor([1.0, 0])), jobs(5))
    assert caplog.text.count("a gradient of exactly 0") == 1


def test_idle_slots_mirror_the_next_run_of_it_too(linear, recorded):
    view = recorded(linear(torch.linspace(0.5, 1, 48)))
    run(work(PGD(steps=2, restarts=2), lambda images: view(images) + torch.tensor([99.0, 0]), width=4), jobs(1))
    assert len(view.seen) == 6
    for points in view.seen:
        assert torch.equal(points, points[:1].expand_as(points))


def test_the_last_look_of_all_needs_no_gradient():
    backwards = []

    def view(images):
        images.register_hook(lambda gradient: backwards.append(1)) if images.requires_grad else None
        return torch.stack([images.sum((1, 2, 3)) * 0, -images.sum((1, 2, 3))], dim=1)

    found = run(work(PGD(steps=4), view), jobs(3))
    assert len(backwards) == 4
    assert {(each.row.forwards, each.row.backwards) for each in found} == {(5, 4)}
