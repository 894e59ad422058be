"""The state of every search is all that it knows: saved and read again it goes on to the same bit."""

import dataclasses

import pytest
import torch

from robustpeft.attacks import ATTACKS, PGD
from robustpeft.attacks.evaluation import evaluate
from robustpeft.attacks.losses import find_loss
from robustpeft.attacks.target import Target
from robustpeft.types import L1, L2, Linf, Noise, Patch, UserError

THREATS = [Linf(0.05), L2(0.5), L1(4.0), Patch(0.3, share=0.2)]
OTHERS = [PGD(steps=6, momentum=0.5), PGD(steps=6, loss="targeted_margin"), PGD(steps=6, loss="kl")]


@pytest.fixture(params=[*sorted(ATTACKS), *OTHERS], ids=str)
def search(request, build):
    return (build(request.param) if isinstance(request.param, str) else request.param).stages(5)[-1]


@pytest.mark.parametrize("threat", THREATS, ids=str)
def test_it_counts_the_passes_and_goes_on_from_its_tensors(curved, search, threat):
    images = torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    clean = curved(images).detach()
    target = Target(images, clean.argmax(1), threat, Noise(0, torch.arange(4), "x"), clean)
    course = search.course(5)
    run = course.runs - 1
    try:
        state = search.init(target.at(run))
    except UserError:
        pytest.skip("it refuses this threat")
    other = state
    for step in range(min(course.gradients or course.passes, 12)):
        here = target.at(run, step)
        query, again = search.propose(here, state), search.propose(here, other)
        assert torch.equal(query.points, again.points)
        loss = find_loss(course.loss) if course.needs_gradient(step) else None
        reply = evaluate(curved, query.points, target.labels, loss, targets=query.targets)
        reply = reply.labels_alone() if course.labels_only else reply
        state, other = search.update(here, state, reply), search.update(here, other, reply)
        assert state.step.tolist() == [step + 1] * 4
        # As a snapshot does it: the tensors by name, put into a state that begins with one row.
        begun = search.init(dataclasses.replace(target.take(torch.tensor([0])), noise=Noise(0, torch.tensor([0]), "x")))
        other = begun.with_tensors(other.tensors())
