"""FAB against the published program, the loop written down once more, and minimal norms that are known.

One file, though long: every test drives the same search over the same curved model and images, and only together do
they hold it: the paths alone say nothing of cost and ranges, the norms alone nothing of where it looked.
"""

import contextlib
import dataclasses

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from robustpeft.attacks import FAB, Target, minimal_norms
from robustpeft.attacks.evaluation import evaluate
from robustpeft.attacks.losses import find_loss
from robustpeft.types import L2, Linf, Noise, UserError

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
def test_it_looks_where_the_reference_looks(curved, images, labels, threat, steps, rank, restart, recorded):
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


@pytest.mark.parametrize("threat", THREATS, ids=str)
def test_only_restarts_begin_at_random_halfway_to_epsilon_and_each_row_in_its_own_run(curved, images, labels, threat):
    middle = 0.4 + 0.2 * images[:6]
    small = threat.with_epsilon(threat.epsilon / 2)
    target = target_of(curved, middle, labels[:6], small)
    state = FAB(restarts=3, targets=2).init(target.at((0, 1, 2, 3, 4, 5)))
    sizes = small.size(state.points - middle)
    assert torch.equal(sizes[:2], torch.zeros(2))
    torch.testing.assert_close(sizes[2:], torch.full((4,), small.epsilon / 2))
    order = target.clean.scatter(1, target.labels[:, None], -torch.inf).argsort(descending=True)
    assert torch.equal(state.targets, order[torch.arange(6), torch.tensor([0, 1, 0, 1, 0, 1])])
    assert (state.points - middle).mean(dim=(1, 2, 3)).abs().max() < 0.3 * small.epsilon  # both signs


def test_runs_are_restarts_times_classes():
    assert [FAB(restarts=r, targets=t).course(5).runs for r, t in [(1, 9), (2, 9), (3, 2)]] == [4, 8, 6]
    assert FAB().course(1000).runs == 9
    assert FAB(restarts=2).course(0).runs == 2


def across(images):
    """Return logits of a plane through the middle: one step always crosses it, a point drawn back lies before it."""
    score = (images.flatten(1) - 0.5).sum(1)
    return torch.stack([-score, score], 1)


def behind(images):
    """Return logits whose boundary lies far outside the box."""
    return across(images) + torch.tensor([1000.0, 0.0])


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.2)], ids=str)
@pytest.mark.parametrize("model", [across, behind])
def test_a_step_is_two_forwards_and_one_backward(threat, model, recorded):
    recorder = recorded(model)
    FAB(steps=8, targets=1, restarts=2)(recorder, torch.full((2, 3, 2, 2), 0.4), torch.zeros(2).long(), threat)
    assert (len(recorder.seen), recorder.backwards) == (1 + 2 * 16, 16)


@pytest.mark.parametrize("threat", THREATS, ids=str)
def test_a_gradient_that_it_did_not_ask_for_changes_nothing(curved, images, labels, threat):
    """Images that share a batch may be at different passes."""
    target = target_of(curved, images, labels, threat)
    asked, given = (drive(FAB(steps=6), curved, target, 0, always=always) for always in (False, True))
    for path, same in zip(asked, given, strict=True):
        assert torch.equal(path, same)


@pytest.mark.parametrize("threat", THREATS, ids=str)
def test_rows_at_different_passes_do_as_they_would_together(curved, images, labels, threat):
    attack, target = FAB(steps=4), target_of(curved, images[:4], labels[:4], threat)
    loss = find_loss("targeted_margin")

    def after(state, target):
        query = attack.propose(target, state)
        return attack.update(target, state, evaluate(curved, query.points, target.labels, loss, targets=query.targets))

    states = [attack.init(target.at(0))]
    for _ in range(5):
        states.append(after(states[-1], target))
    where = torch.tensor([1, 3])
    mixed = states[1].put(where, states[4].take(where))
    wanted = states[2].put(where, states[5].take(where))
    for name, tensor in after(mixed, target).tensors().items():
        torch.testing.assert_close(tensor, wanted.tensors()[name], rtol=0, atol=1e-6)


def test_the_look_at_the_last_step_counts():
    image, label = torch.full((1, 3, 2, 2), 0.4), torch.zeros(1).long()
    found = FAB(steps=1)(across, image, label, Linf(0.12))
    torch.testing.assert_close(found, image + 1.05 * 0.1)


def test_what_lies_beyond_the_threat_is_not_found():
    image, label = torch.full((1, 3, 2, 2), 0.4), torch.zeros(1).long()
    assert torch.equal(FAB(steps=1)(across, image, label, Linf(0.104)), image)


def nearest(x, w, gap, norm):
    """Return the smallest norm within the box at which gap + w d reaches 0 from below, by bisection."""
    room = torch.where(w > 0, 1 - x, x)
    speed = w.abs() if norm == "l2" else torch.ones_like(w)
    low, high = 0.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2
        short = gap + (w.abs() * torch.minimum(middle * speed, room)).sum() < 0
        low, high = (middle, high) if short else (low, middle)
    way = torch.minimum(high * speed, room)
    return float(way.norm() if norm == "l2" else way.max())


@pytest.mark.parametrize("threat", THREATS, ids=str)
@pytest.mark.parametrize("classes", [2, 5])
@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=8, deadline=None)
def test_the_minimal_norm_of_a_linear_model_is_found_within_1_percent(threat, classes, seed, at_edges):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, 48, generator=generator)
    images = torch.rand(3, 3, 4, 4, generator=generator)
    images = images.round() if at_edges else images
    labels = (images.flatten(1) @ weight.T).argmax(1)

    def model(points):
        return points.flatten(1) @ weight.T

    wanted = []
    for x, label in zip(images.flatten(1).double(), labels, strict=True):
        others = [weight[k].double() - weight[label].double() for k in range(classes) if k != label]
        wanted.append(min(nearest(x, w, w @ x, threat.norm) for w in others))
    found = minimal_norms(model, images, labels, threat, FAB(steps=20))
    assert (found >= torch.tensor(wanted) * (1 - 1e-5) - 1e-6).all()
    assert (found <= torch.tensor(wanted) * 1.01 + 1e-6).all()


def test_a_model_whose_gradient_vanishes_is_survived(images):
    def flat(points):
        return torch.stack([points.sum((1, 2, 3)) * 0 + 1, points.sum((1, 2, 3)) * 0], 1)

    labels = torch.zeros(24).long()
    with contextlib.suppress(UserError):  # what is returned is finite, or there is a word about it
        assert torch.equal(FAB(steps=3)(flat, images, labels, Linf(0.1)), images)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"restarts": 0}, "restarts must be at least 1; got 0"),
        ({"targets": 0}, "targets must be at least 1; got 0"),
        ({"alpha_max": 1.1}, r"alpha_max must be in \[0, 1\]; got 1.1"),
        ({"alpha_max": -0.1}, r"alpha_max must be in \[0, 1\]; got -0.1"),
        ({"eta": 0.9}, r"eta must be in \[1, 2\).*got 0.9"),
        ({"eta": 2.0}, r"eta must be in \[1, 2\).*got 2"),
        ({"beta": 0.0}, r"beta must be in \(0, 1\); got 0"),
        ({"beta": 1.0}, r"beta must be in \(0, 1\); got 1"),
    ],
)
def test_hyper_parameters_without_meaning_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        FAB(**fields)


def test_the_ends_of_the_ranges_are_allowed():
    FAB(steps=1, restarts=1, targets=1, alpha_max=0.0, eta=1.0)
    FAB(alpha_max=1.0)


def test_another_norm_is_refused(curved, images, labels):
    class Other(Linf):
        norm = "l1"

    with pytest.raises(UserError, match="FAB is written for linf and l2; got l1"):
        FAB()(curved, images, labels, Other(0.1))
