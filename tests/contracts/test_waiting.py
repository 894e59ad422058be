"""No search makes the host wait for the device, and the driver does so once a pass, to learn who may leave."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from robustpeft.attacks import ATTACKS
from robustpeft.attacks.evaluation import evaluate
from robustpeft.attacks.jobs import Job, Work
from robustpeft.attacks.judge import Judge
from robustpeft.attacks.losses import find_loss
from robustpeft.attacks.slots import Slots
from robustpeft.attacks.target import Target
from robustpeft.types import L1, L2, Linf, Noise, Patch, UserError, attack_view

THREATS = [Linf(0.05), L2(0.5), L1(4.0), Patch(0.3, share=0.2)]
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2")


class Waiting(TorchDispatchMode):
    """Notes what would make the host wait, were the tensors on a device."""

    def __init__(self):
        super().__init__()
        self.met = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        booleans = name in ("index", "index_put_") and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in WAITS or booleans:
            self.met.add(name)
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def images():
    return torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=sorted(ATTACKS))
def search(request, build):
    return build(request.param).stages(5)[-1]


def test_the_instrument_shows_a_wait():
    with Waiting() as waiting:
        bool(torch.ones(3)[torch.tensor([True, False, True])].sum() > 1)
    assert waiting.met == {"_local_scalar_dense", "index"}


@pytest.mark.parametrize("threat", THREATS, ids=str)
def test_no_search_waits_for_the_device(curved, images, search, threat):
    clean = curved(images).detach()
    target = Target(images, clean.argmax(1), threat, Noise(0, torch.arange(4), "x"), clean)
    course, waiting = search.course(5), Waiting()
    for run in {0, course.runs - 1}:
        try:
            state = search.init(target.at(run))
        except UserError:
            pytest.skip("it refuses this threat")
        with waiting:
            state = search.init(target.at(run))
        for step in range(min(course.passes, 12)):
            here = target.at(run, step)
            with waiting:
                query = search.propose(here, state)
            loss = find_loss(course.loss) if course.needs_gradient(step) else None
            reply = evaluate(curved, query.points, target.labels, loss, targets=query.targets)
            with waiting:
                state = search.update(here, state, reply.labels_alone() if course.labels_only else reply)
    assert waiting.met == set()


def test_the_driver_waits_once_a_pass(curved, images, search, monkeypatch):
    labels = curved(images).argmax(1).tolist()
    work = Work(attack_view(curved), Judge(curved, 4), search, "x", "x", Linf(1e-7), 0, 5, 4)
    jobs = iter(
        [
            Job(image, label, place, curved(image[None])[0].detach())
            for place, (image, label) in enumerate(zip(images, labels, strict=True))
        ]
    )
    slots, waiting, copies, whole = Slots(work, jobs, lambda found: None), Waiting(), [], Slots._pass

    def watched(self):
        with waiting:
            whole(self)

    def on_the_cpu(self, job, held=Slots._held):  # it looks at clean logits, which lie there
        before = set(waiting.met)
        found = held(self, job)
        waiting.met = before
        return found

    def copied(tensor, *args, cpu=torch.Tensor.cpu):
        copies.append(tensor.shape)
        return cpu(tensor, *args)

    monkeypatch.setattr(Slots, "_pass", watched)
    monkeypatch.setattr(torch.Tensor, "cpu", copied)
    monkeypatch.setattr(Slots, "_judge", lambda self: self._claims.clear())
    monkeypatch.setattr(Slots, "_held", on_the_cpu)
    slots.run()
    assert slots.passes > 0
    assert len(copies) == slots.passes
    assert waiting.met == set()
