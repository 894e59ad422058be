import dataclasses

import pytest
import torch
from torch import nn

from robustpeft.attacks import FAB, Target
from robustpeft.attacks.evaluation import evaluate
from robustpeft.attacks.losses import find_loss
from robustpeft.types import L2, Linf, Noise

THREATS = [Linf(0.3), L2(1.0)]


class Curved(nn.Module):
    """Five classes; on about half of the images the boundary curves away, so that not every step crosses it."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.inner = nn.Parameter(torch.randn(32, 48, generator=generator))
        self.outer = nn.Parameter(torch.randn(5, 32, generator=generator))

    def forward(self, images):
        return torch.tanh((images.flatten(1) - 0.5) @ self.inner.T) @ self.outer.T


@dataclasses.dataclass(frozen=True)
class Replay:
    """Draws of somebody else, by run, in the place of `Noise`."""

    draws: dict
    restart: int = 0
    step: int = 0

    def at(self, *, restart, step):
        return Replay(self.draws, restart, step)

    def uniform(self, shape, purpose=0):
        assert (self.step, purpose) == (0, 0)
        return self.draws.get(self.restart, torch.full((1, *shape), 0.75))

    normal = uniform


@pytest.fixture(scope="module")
def curved():
    return Curved()


@pytest.fixture(scope="module")
def images():
    images = torch.rand(24, 3, 4, 4, generator=torch.Generator().manual_seed(4))
    images[0] = images[0].round()
    images[1] = (2 * images[1] - 0.5).clamp(0, 1)
    return images


@pytest.fixture(scope="module")
def labels(curved, images):
    return curved(images).argmax(1)


def target_of(model, images, labels, threat, noise=None):
    clean = model(images).detach()
    return Target(images, labels, threat, noise or Noise(0, torch.arange(len(images)), "FAB"), clean)


def drive(attack, model, target, run, always=False):
    """Return per image the points that one run looks at; `always`: a gradient is there in every pass."""
    state, course, seen = attack.init(target.at(run)), attack.course(5), []
    for step in range(course.passes):
        here = target.at(run, step)
        query = attack.propose(here, state)
        seen.append(query.points)
        loss = find_loss("targeted_margin") if always or course.needs_gradient(step) else None
        reply = evaluate(model, query.points, target.labels, loss, targets=query.targets)
        state = attack.update(here, state, reply)
        assert (state.step == step + 1).all()
    return without_repeats(seen)


def without_repeats(seen):
    """Return per image the points that a search looked at, those it looked at twice in a row once."""
    paths = []
    for row in range(len(seen[0])):
        path = [seen[0][row]]
        path += [p[row] for p, before in zip(seen[1:], seen[:-1], strict=True) if not torch.equal(p[row], before[row])]
        paths.append(torch.stack(path))
    return paths


@pytest.mark.parametrize("threat", THREATS, ids=str)
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 100])
@pytest.mark.parametrize(("rank", "restart"), [(0, 0), (2, 0), (1, 1)])
def test_it_looks_where_the_reference_looks(curved, images, labels, threat, steps, rank, restart):
    module = pytest.importorskip("pyautoattack.fab_pt")
    seen = []

    def recorded(points):
        seen.append(points.detach().clone())
        return curved(points)

    theirs = module.FABAttack_PT(
        recorded, norm=threat.norm.title(), n_iter=steps, eps=threat.epsilon, targeted=True, device="cpu"
    )
    theirs.target_class = rank + 2
    torch.manual_seed(7)
    best = theirs.attack_single_run(images, labels, use_rand_start=restart > 0, is_targeted=True)
    torch.manual_seed(7)
    drawn = torch.rand(images.shape) if threat.norm == "linf" else torch.randn(images.shape)

    run = 3 * restart + rank
    target = target_of(curved, images, labels, threat, Replay({run: drawn}))
    paths = drive(FAB(steps=steps, targets=3, restarts=2), curved, target, run)
    compared = 0
    wanted_paths = without_repeats(seen[2:])  # they look at the images twice before
    for path, wanted, image, label, found in zip(paths, wanted_paths, images, labels, best, strict=True):
        top = curved(wanted).topk(2).values
        if (top[:, 0] - top[:, 1]).min() < 1e-5:
            continue  # a point so near to the boundary that the last bit decides on which side it is
        compared += 1
        torch.testing.assert_close(path, wanted, rtol=0, atol=1e-5)
        if not torch.equal(found, image):
            there = path[(path - found).abs().amax((1, 2, 3)).argmin()]
            torch.testing.assert_close(there, found, rtol=0, atol=1e-5)
            assert curved(there[None]).argmax() != label
    assert compared >= 22


def plain(model, x, label, rank, steps, norm, start, *, alpha_max=0.1, eta=1.05, beta=0.9):
    """Return the points that FAB looks at for one image, written down once more in float64."""
    model, x = model.double(), x.double()
    order = model(x[None])[0].argsort(descending=True)
    aim = order[order != label][rank]
    size = torch.linalg.vector_norm if norm == "l2" else lambda d: d.abs().max()

    def way(origin, w, offset):
        towards = -w.sign() * offset.sign()
        room = torch.where(towards < 0, origin, 1 - origin)
        speed = w.abs() if norm == "l2" else torch.ones_like(w)
        low, high = 0.0, 1e6
        for _ in range(100):
            middle = (low + high) / 2
            short = (w.abs() * torch.minimum(middle * speed, room)).sum() < offset.abs()
            low, high = (middle, high) if short else (low, middle)
        return towards * torch.minimum(high * speed, room)

    point, path = start.double(), []
    path.append(point)
    for step in range(steps):
        given = point.clone().requires_grad_()
        logits = model(given[None])[0]
        (w,) = torch.autograd.grad(logits[aim] - logits[label], given)
        gap = (logits[aim] - logits[label]).detach()
        d_1, d_0 = way(point, w, gap), way(x, w, gap + (w * (x - point)).sum())
        alpha = min(size(d_1) / (size(d_1) + size(d_0)), alpha_max)
        point = ((1 - alpha) * (point + eta * d_1) + alpha * (x + eta * d_0)).clamp(0, 1)
        path.append(point)
        if model(point[None])[0].argmax() != label and step < steps - 1:
            point = x + beta * (point - x)
            path.append(point)
    return torch.stack(path).float()


@pytest.mark.parametrize("threat", THREATS, ids=str)
@pytest.mark.parametrize(
    "fields",
    [
        {"steps": 12},
        {"steps": 5, "alpha_max": 0.5, "eta": 1.2, "beta": 0.6},
        {"steps": 4, "alpha_max": 0.0, "eta": 1.01},
    ],
    ids=str,
)
def test_it_looks_where_the_loop_written_down_once_more_looks(images, labels, threat, fields):
    model = Curved()
    target = target_of(model, images[:6], labels[:6], threat)
    ours = drive(FAB(**fields), model, target, 1)
    options = {"alpha_max": 0.1, "eta": 1.05, "beta": 0.9} | fields
    for row, path in enumerate(ours):
        wanted = plain(Curved(), images[row], labels[row], 1, norm=threat.norm, start=images[row], **options)
        torch.testing.assert_close(path, wanted, rtol=0, atol=1e-5)
