import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from robustpeft.attacks import Square, margin
from robustpeft.attacks.evaluation import Reply, evaluate
from robustpeft.attacks.target import Target
from robustpeft.types import L2, Linf, Noise, Patch, UserError

SIZE, CLASSES, PASSES = 20, 6, 151
BALLS = [Linf(0.03), L2(0.7)]


class Curved(nn.Module):
    """Six classes; a loss that is no plane."""

    def __init__(self, pixels=3 * SIZE * SIZE):
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.inner = nn.Parameter(0.2 * torch.randn(30, pixels, generator=generator))
        self.outer = nn.Parameter(torch.randn(CLASSES, 30, generator=generator))

    def forward(self, images):
        return torch.tanh(images.flatten(1) @ self.inner.T) @ self.outer.T


class Replay:
    """Answers with what was drawn elsewhere: one list of draws for every image and pass."""

    def __init__(self, draws, step=0):
        self.draws, self.step = draws, step

    def at(self, *, restart=None, step=None):
        return Replay(self.draws, step)

    def uniform(self, shape, purpose=0):
        assert purpose == 0
        size = math.prod(shape)
        rows = [torch.cat([draw.flatten() for draw in row[self.step]]) for row in self.draws]
        # The first point needs no window, and an image that is broken does not go on.
        return torch.stack([row if len(row) == size else torch.zeros(size) for row in rows]).reshape(-1, *shape)


@pytest.fixture(scope="module")
def curved():
    return Curved()


@pytest.fixture(scope="module")
def images():
    # Many pixels are at the ends of [0, 1]. Where nothing is cut off, the L2 variant divides what rounding has left of
    # the difference of two equal bumps by its length, and no two programs agree.
    return (2.0 * torch.rand(24, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) - 0.5).clamp(0.0, 1.0)


@pytest.fixture(scope="module")
def labels(curved, images):
    with torch.no_grad():
        return curved(images).argmax(1)


@pytest.fixture(params=BALLS, ids=str)
def threat(request):
    return request.param


def reference(model, image, label, threat, rescaled, monkeypatch):
    """Return the draws before each look of the reference implementation, where it looked, and what it kept."""
    square = pytest.importorskip("pyautoattack.square")
    drawn, seen, rand = [[]], [], torch.rand
    generator = torch.Generator().manual_seed(int(image.sum() * 1000))

    def draw(*shape):
        drawn[-1].append(rand(*shape, generator=generator))
        return drawn[-1][-1]

    def look(points):
        seen.append(points[0].clone())
        drawn.append([])
        return model(points).detach().clone()

    norm = {"linf": "Linf", "l2": "L2"}[threat.norm]
    options = {"norm": norm, "n_queries": PASSES - 1, "eps": threat.epsilon, "resc_schedule": rescaled}
    attack = square.SquareAttack(look, **options)
    attack.init_hyperparam(image[None])
    with monkeypatch.context() as patched:
        patched.setattr(square.torch, "rand", draw)
        _, best = attack.attack_single_run(image[None], label[None])
    nothing = [[torch.zeros(0)]]
    return drawn[: len(seen)] + nothing * (PASSES - len(seen)), seen, best[0]


@pytest.mark.parametrize("rescaled", [False, True])
def test_it_looks_where_the_reference_looks(curved, images, labels, threat, rescaled, monkeypatch):
    pairs = zip(images, labels, strict=True)
    theirs = [reference(curved, image, label, threat, rescaled, monkeypatch) for image, label in pairs]
    target = Target(images, labels, threat, Replay([draws for draws, _, _ in theirs]))
    search = Square(queries=PASSES - 1, rescaled=rescaled)
    state = search.init(target.at(0))
    compared = 0
    for step in range(PASSES):
        points = search.propose(target.at(0, step), state).points
        state = search.update(target.at(0, step), state, evaluate(curved, points, labels))
        for row, (_, seen, best) in enumerate(theirs):
            if step < len(seen):
                torch.testing.assert_close(points[row], seen[step], rtol=0, atol=1e-5)
                compared += 1
            if step == len(seen) - 1:
                torch.testing.assert_close(state.best[row], best, rtol=0, atol=1e-5)
    assert compared > 1200
    assert sum(len(seen) == PASSES for _, seen, _ in theirs) > 4


def steps(search, model, target):
    state = search.init(target.at(0))
    for step in range(search.course(0).passes):
        here = target.at(0, step)
        points = search.propose(here, state).points
        after = search.update(here, state, evaluate(model, points, target.labels))
        yield points, state, after
        state = after


@pytest.fixture
def target(images, labels, threat):
    return Target(images[:6], labels[:6], threat, Noise(0, torch.arange(6), "square"))


def test_the_best_margin_never_gets_worse_and_belongs_to_the_best_point(curved, target):
    previous, changed = torch.full((6,), -torch.inf), 0
    for points, before, after in steps(Square(queries=60), curved, target):
        margins = margin(curved(points), target.labels)
        assert torch.equal(after.margins, torch.maximum(previous, margins))
        torch.testing.assert_close(margin(curved(after.best), target.labels), after.margins, rtol=0, atol=1e-5)
        for row in range(6):
            assert torch.equal(after.best[row], (points if margins[row] > previous[row] else before.best)[row])
        changed += int((margins > previous).sum())
        previous = after.margins
    assert 30 < changed < 6 * 61


def test_a_try_that_is_no_better_is_not_kept(target):
    search, logits = Square(queries=9), torch.zeros(6, 5)
    state = search.init(target.at(0))
    first = state.best
    for step in range(5):
        points = search.propose(target.at(0, step), state).points
        state = search.update(target.at(0, step), state, Reply(points, logits))
    assert not torch.equal(points, first)
    assert torch.equal(state.best, first)


def test_first_come_the_stripes(curved, images, labels):
    target = Target(images[:6], labels[:6], Linf(0.03), Noise(0, torch.arange(6), "square"))
    first = Square().propose(target, Square().init(target)).points
    signs = torch.where(target.noise.uniform((3, 1, SIZE)) < 0.5, -1, 1)
    assert torch.equal(first, (target.images + 0.03 * signs).clamp(0, 1))
    assert signs.float().mean().abs() < 0.3
    assert len({tuple(row.flatten().tolist()) for row in signs}) == 6


def test_a_try_changes_one_square_and_moves_it_to_the_edge_of_the_ball(curved):
    images = torch.full((6, 3, 32, 32), 0.5)
    target = Target(images, torch.zeros(6).long(), Linf(0.1), Noise(0, torch.arange(6), "square"))
    search = Square(queries=100, rescaled=True)
    at_image = dataclasses.replace(search.init(target), best=images)
    sides = {1: 29, 2: 14, 5: 10, 60: 3, 100: 1}  # the share is halved 0, 2, 3, 7 and 9 times
    for step, side in sides.items():
        places = set()
        state = dataclasses.replace(at_image, step=torch.full((6,), step))
        moved = search.propose(target.at(0, step), state).points - images
        for row in moved:
            rows, columns = (row != 0).any(0).any(1).nonzero(), (row != 0).any(0).any(0).nonzero()
            assert len(rows) == len(columns) == side
            inside = row[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            assert (inside == inside[:, :1, :1]).all()
            torch.testing.assert_close(inside.abs(), torch.full_like(inside, 0.1))
            places.add((int(rows[0]), int(columns[0])))
        assert len(places) > 2


def test_rows_at_different_passes_do_not_mix(curved, target):
    search = Square(queries=40, rescaled=True)
    state = search.init(target.at(0))
    mixed = (0, 1, 2, 7, 20, 40)
    together = search.propose(target.at(0, mixed), dataclasses.replace(state, step=torch.tensor(mixed))).points
    for row, step in enumerate(mixed):
        place = torch.tensor([row])
        here = Target(
            target.images[place],
            target.labels[place],
            target.threat,
            Noise(0, place, "square").at(restart=0, step=step),
        )
        alone = search.propose(here, dataclasses.replace(state.take(place), step=torch.tensor([step]))).points
        torch.testing.assert_close(together[row], alone[0], rtol=0, atol=1e-6)
    assert torch.equal(together[0], state.best[0])


def test_the_batch_around_an_image_does_not_matter(curved, images, labels, threat):
    attack = Square(queries=50)
    together = attack(curved, images[:6], labels[:6], threat, seed=1)
    for i in range(6):
        alone = attack(curved, images[i : i + 1], labels[i : i + 1], threat, seed=1)
        torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-6)
    assert not torch.equal(attack(curved, images[:6], labels[:6], threat, seed=2), together)


def test_it_looks_as_often_as_it_says_and_asks_for_no_gradient(curved, images, labels, threat):
    looks = []

    def model(points):
        looks.append((len(points), torch.is_grad_enabled()))
        return curved(points)

    Square(queries=7, restarts=3)(model, images[:2], labels[:2], threat)
    assert looks == [(2, False)] * (3 * 8)
    course = Square(queries=7, restarts=3).course(10)
    assert (course.passes, course.runs, course.gradients, course.loss) == (8, 3, 0, None)


class Waiting(TorchDispatchMode):
    """Notes what would make the host wait for the device."""

    def __init__(self):
        super().__init__()
        self.met = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        booleans = name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in ("_local_scalar_dense", "nonzero", "masked_select", "equal") or booleans:
            self.met.add(name)
        return func(*args, **(kwargs or {}))


def test_nothing_waits_for_the_device(curved, target):
    search, waiting = Square(queries=3), Waiting()
    with waiting:
        state = search.init(target.at(0))
    for step in range(4):
        with waiting:
            points = search.propose(target.at(0, step), state).points
        reply = evaluate(curved, points, target.labels)
        with waiting:
            state = search.update(target.at(0, step), state, reply)
    assert waiting.met == set()
    with waiting:
        bool(target.images[target.images > 0.5].sum() > 0)
    assert waiting.met == {"_local_scalar_dense", "index"}


def test_a_restart_begins_elsewhere(target):
    search = Square(queries=5)
    assert not torch.equal(search.init(target.at(0)).best, search.init(target.at(1)).best)


def test_on_a_linear_model_it_comes_near_the_optimum_and_sees_through_a_detach(linear):
    weight = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(3))
    weight[:, :, :4] = weight[:, :, :4].abs() + 1.0  # squares that the search can find, and noise beside them
    weight[:, -1], weight[:, :, -1] = 0.0, 0.0  # only windows as large as the image reach there
    model = linear(weight.flatten())
    images, labels = torch.full((2, 3, 8, 8), 0.5), torch.tensor([0, 1])

    def masked(points):
        return model(points).detach()

    for threat, share in ((Linf(0.05), 0.9), (L2(0.5), 0.4)):  # a bump has a hollow too
        dual = weight.abs().sum() if isinstance(threat, Linf) else weight.norm()
        found = Square(queries=1000, rescaled=True)(masked, images, labels, threat)
        gained = (margin(model(found), labels) - margin(model(images), labels)).detach()
        optimum = threat.epsilon * dual
        assert (gained > share * optimum).all()
        assert (gained <= optimum * (1 + 1e-5)).all()


def test_other_threats_get_windows_projected_into_them(curved, images, labels):
    threat = Patch(0.5, share=0.2, row=0.3)
    found = Square(queries=40)(curved, images[:6], labels[:6], threat)
    sizes = threat.size(found - images[:6])
    assert (sizes <= 0.5 + 1e-6).all()
    assert (sizes > 0).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"queries": 0}, "queries must be at least 1; got 0"),
        ({"restarts": 0}, "restarts must be at least 1; got 0"),
        ({"p_init": 0.0}, r"p_init must be in \(0, 1\]; got 0"),
        ({"p_init": 1.5}, r"p_init must be in \(0, 1\]; got 1.5"),
    ],
)
def test_what_cannot_be_run_is_refused(fields, message):
    with pytest.raises(UserError, match=message):
        Square(**fields)
