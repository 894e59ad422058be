"""APGD against the published program, the algorithm written down once more, and optima that are known.

One file, though long: every test looks at what the same search saw of the same curved model and images, and only
together do they hold it: the paths say nothing of why a step was halved, the check-points nothing of where it led.
"""

import dataclasses
import itertools
import math
import warnings
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from robustpeft.attacks import APGD, margin
from robustpeft.attacks.apgd import checkpoints
from robustpeft.attacks.evaluation import Reply
from robustpeft.attacks.losses import find_loss
from robustpeft.attacks.target import Target
from robustpeft.types import L1, L2, Linf, Noise, UserError


class Curved(nn.Module):
    """A loss that goes up and down within the ball."""

    def __init__(self, classes=10, pixels=108):
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.inner = nn.Parameter(torch.randn(32, pixels, generator=generator) / pixels**0.5)
        self.outer = nn.Parameter(torch.randn(classes, 32, generator=generator))

    def forward(self, images):
        return torch.sin(images.flatten(1) @ self.inner.T) @ self.outer.T


@dataclasses.dataclass(frozen=True)
class Replayed:
    """Noise that hands out draws made elsewhere: one tensor (b, 3, h, w) per run."""

    draws: tuple
    restart: int = 0
    step: int = 0

    def at(self, restart=0, step=0):
        return Replayed(self.draws, restart, step)

    def uniform(self, shape, purpose=0):
        draw = self.draws[self.restart]
        return draw if draw.shape[1:] == tuple(shape) else torch.full((len(draw), *shape), 0.5)

    def normal(self, shape, purpose=0):
        assert (self.draws[self.restart].shape[1:], purpose) == (tuple(shape), 0)
        return self.draws[self.restart]


@pytest.fixture(scope="module")
def curved():
    return Curved()


@pytest.fixture(scope="module")
def images():
    return torch.rand(24, 3, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def labels(curved, images):
    with torch.no_grad():
        return curved(images).argmax(dim=1)


@pytest.fixture
def sees(recorded):
    """All points (passes, b, 3, h, w) that a search looks at."""

    def points(attack, model, images, labels, threat, noise=None):
        recorder = recorded(model)
        attack.search(recorder, Target(images, labels, threat, noise or Noise(0, torch.arange(len(images)), "APGD")))
        return torch.stack(recorder.seen)

    return points


def written_down_once_more(model, images, labels, threat, steps, loss, targets=None, rho=0.75):
    """Return the iterates of one run: losses are kept as a list, and the check-points look back on it."""

    def ask(points):
        points = points.clone().requires_grad_()
        values = find_loss(loss)(model(points), labels, labels if targets is None else targets)
        return values.detach(), torch.autograd.grad(values.sum(), points)[0]

    column = (len(images), 1, 1, 1)
    start = threat.random(Noise(0, torch.arange(len(images)), "APGD"), tuple(images.shape[1:]))
    x = threat.within(images, images + threat.epsilon / threat.size(start).reshape(column) * start)
    value, gradient = ask(x)
    best, best_gradient, best_value = x.clone(), gradient.clone(), value.clone()
    size, before, seen, values = torch.full(column, 2 * threat.epsilon), x, [x], [torch.zeros(len(images))]
    interval, next_check = max(int(0.22 * steps), 1), max(int(0.22 * steps), 1)
    last_value, last_halved = value.clone(), torch.ones(len(images), dtype=torch.bool)
    for step in range(1, steps + 1):
        kept = 1.0 if step == 1 else 0.75
        straight = threat.within(images, x + size * threat.ascend(gradient))
        moved = threat.within(images, x + (straight - x) * kept + (x - before) * (1 - kept))
        before, x = x, moved
        seen.append(x)
        value, gradient = ask(x)
        values.append(value)
        better = value > best_value
        best[better], best_gradient[better], best_value[better] = x[better], gradient[better], value[better]
        if step == next_check:
            grown = sum((values[-i] > values[-i - 1]).long() for i in range(1, interval + 1))
            halve = (grown <= rho * interval) | (~last_halved & (best_value == last_value))
            size, x, gradient = size.clone(), x.clone(), gradient.clone()
            size[halve] /= 2
            x[halve], gradient[halve] = best[halve], best_gradient[halve]
            last_value, last_halved = best_value.clone(), halve
            interval = max(interval - max(int(0.03 * steps), 1), int(0.06 * steps), 1)
            next_check += interval
    return torch.stack(seen)


@pytest.mark.parametrize("threat", [Linf(0.1), L2(1.0)], ids=str)
@pytest.mark.parametrize(
    ("steps", "fields"),
    [
        (100, {"loss": "cross_entropy"}),
        (100, {"loss": "dlr", "rho": 0.5}),
        (37, {"loss": "margin", "rho": 0.9}),
        (5, {"loss": "dlr"}),
        (1, {"loss": "cross_entropy"}),
    ],
)
def test_it_equals_the_algorithm_written_down_once_more_bit_for_bit(
    curved, images, labels, threat, steps, fields, sees
):
    found = sees(APGD(steps=steps, **fields), curved, images, labels, threat)
    assert torch.equal(found, written_down_once_more(curved, images, labels, threat, steps, **fields))


def test_towards_a_class_it_equals_the_algorithm_with_that_target(curved, images, labels, sees):
    found = sees(APGD(steps=30, loss="targeted_dlr", targets=1), curved, images, labels, Linf(0.03))
    second = curved(images).sort(dim=1).indices[:, -2]
    wanted = written_down_once_more(curved, images, labels, Linf(0.03), 30, "targeted_dlr", second)
    assert torch.equal(found[1:], wanted)  # the first pass is for the clean logits


def near_ties(seen, logits_of, labels, loss, targets=None):
    """Return bool (passes, b): a loss seen by then was compared with one that rounding cannot tell from it."""
    values = torch.stack([find_loss(loss)(logits_of(x), labels, labels if targets is None else targets) for x in seen])
    best = values.cummax(dim=0).values
    tie = torch.zeros(values.shape, dtype=torch.bool)
    tie[1:] = ((values[1:] - best[:-1]).abs() < 2e-6) | ((values[1:] - values[:-1]).abs() < 2e-6)
    return tie.cummax(dim=0).values


def assert_same_to_the_first_tie(found, wanted, ties, undivided):
    """No image leaves the path by more than 1e-5 before a tie, and so many never do."""
    apart = ((found - wanted).abs().flatten(2).amax(dim=2) > 1e-5).cummax(dim=0).values
    assert not (apart[1:] & ~ties[:-1]).any()
    assert not apart[:25].any()  # the first check-point is behind them
    assert (~apart[-1]).sum() >= undivided


@pytest.mark.parametrize(
    ("threat", "norm", "undivided"), [(Linf(8 / 255), "Linf", 20), (L2(0.5), "L2", 16), (L1(3.0), "L1", 12)]
)
@pytest.mark.parametrize(("loss", "name"), [("cross_entropy", "ce"), ("dlr", "dlr")])
def test_with_its_draws_it_follows_the_reference_implementation(
    curved, images, labels, threat, norm, undivided, loss, name, recorded, sees
):
    """Ties are comparisons of losses that differ by rounding, on plateaus: there either may take the other branch."""
    reference = pytest.importorskip("pyautoattack.autopgd_base")
    recorder = recorded(curved)
    attack = reference.APGDAttack(recorder, n_iter=100, norm=norm, eps=threat.epsilon, loss=name, device="cpu")
    attack.init_hyperparam(images)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(5)
        draw = (torch.rand if norm == "Linf" else torch.randn)(images.shape)
        torch.manual_seed(5)
        attack.attack_single_run(images, labels)
    found = sees(APGD(loss=loss), curved, images, labels, threat, Replayed((draw,)))
    ties = near_ties(found, curved, labels, loss)
    assert_same_to_the_first_tie(found, torch.stack(recorder.seen), ties, undivided)


def test_with_its_draws_it_follows_the_reference_implementation_towards_classes(curved, images, labels, recorded, sees):
    reference = pytest.importorskip("pyautoattack.autopgd_base")
    threat, recorder = Linf(0.5 / 255), recorded(curved)  # so small that no image leaves after a class
    attack = reference.APGDAttack_targeted(
        recorder, n_iter=100, norm="Linf", eps=threat.epsilon, seed=5, n_target_classes=3, device="cpu"
    )
    safe = (margin(curved(images), labels) < -0.2).nonzero().flatten()
    images, labels = images[safe], labels[safe]
    with torch.random.fork_rng():
        attack.perturb(images, labels)
        torch.manual_seed(5)
        draws = tuple(torch.rand(images.shape) for _ in range(3))
    found = sees(APGD(loss="targeted_dlr", targets=3), curved, images, labels, threat, Replayed(draws))[1:]
    wanted = [seen for seen in recorder.seen[1:] if not torch.equal(seen, images)]  # less its four clean passes
    assert found.shape == torch.stack(wanted).shape == (303, len(safe), 3, 6, 6)
    order = curved(images).sort(dim=1).indices
    for run in range(3):
        part = slice(101 * run, 101 * run + 101)
        ties = near_ties(found[part], curved, labels, "targeted_dlr", order[:, -2 - run])
        assert_same_to_the_first_tie(found[part], torch.stack(wanted[part]), ties, len(safe) - 3)


def test_the_check_points_of_100_steps_are_the_published_ones():
    parts = [Fraction(0), Fraction(22, 100)]
    while parts[-1] < 1:
        parts.append(parts[-1] + max(parts[-1] - parts[-2] - Fraction(3, 100), Fraction(6, 100)))
    assert checkpoints(100) == tuple(math.ceil(100 * part) for part in parts[1:] if part <= 1)
    assert checkpoints(100) == (22, 41, 57, 70, 80, 87, 93, 99)


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [(1, (1,)), (2, (1, 2)), (10, (2, 3, 4, 5, 6, 7, 8, 9, 10)), (40, (8, 15, 21, 26, 30, 33, 35, 37, 39))],
)
def test_the_check_points_of_few_steps_are_counted_in_whole_steps(steps, wanted):
    assert checkpoints(steps) == wanted


def step_sizes(losses, steps=100):
    """Return the step size, in units of epsilon, after each of the passes in which one image has these losses."""
    attack, threat = APGD(steps=steps), Linf(0.125)
    target = Target(torch.full((1, 3, 2, 2), 0.5), torch.tensor([0]), threat, Noise(0, torch.tensor([0]), "APGD"))
    state, found = attack.init(target), []
    for step, loss in enumerate(losses):
        points = attack.propose(target.at(0, step), state).points
        reply = Reply(points, torch.zeros(1, 2), torch.tensor([float(loss)]), torch.ones_like(points))
        state = attack.update(target.at(0, step), state, reply)
        found.append(float(state.step_size) / 0.125)
    return found


def halved_at(losses):
    sizes = [2.0, *step_sizes(losses)]
    assert all(after in (before, before / 2) for before, after in itertools.pairwise(sizes))
    return [number for number in range(len(losses)) if sizes[number + 1] < sizes[number]]


def test_a_loss_that_always_grows_never_halves_the_step():
    """Were the best loss so far and that at the last check-point one tensor, the second check-point would halve it."""
    assert halved_at(range(1, 101)) == []


def test_a_loss_that_never_grows_halves_it_at_every_check_point():
    assert halved_at([-number for number in range(101)]) == [22, 41, 57, 70, 80, 87, 93, 99]


def test_a_loss_that_grows_but_never_beyond_the_best_halves_it_at_every_other_check_point():
    """Condition 2 is out of force where the step was halved at the last check-point, and at the first."""
    assert halved_at([1000, *range(1, 101)]) == [41, 70, 87, 99]


@pytest.mark.parametrize(("falls", "halves"), [(5, []), (6, [22])])
def test_the_first_check_point_wants_growth_in_more_than_three_quarters_of_22_steps(falls, halves):
    """17 of 22 are more, 16 are not; the loss after the first step counts as growth because it is above 0."""
    losses = [5.0] + [1.0 + number for number in range(22 - falls)] + [0.9 - number / 100 for number in range(falls)]
    assert halved_at(losses) == halves


def test_below_0_the_loss_after_the_first_step_is_no_growth():
    grown = [-9.0] + [number - 17.5 for number in range(17)]  # 16 of 17 grow, whatever went before
    assert halved_at(grown + [-20.0 - number for number in range(5)]) == [22]
    assert halved_at([loss + 18 for loss in grown] + [-20.0 - number for number in range(5)]) == []


def test_growth_is_counted_anew_after_a_check_point():
    losses = list(range(1, 24))
    falls = [losses[-1] - number / 10 for number in range(1, 6)]  # 5 of 19, after which 14 grow: not more than 14.25
    assert halved_at(losses + falls + [100 + number for number in range(14)]) == [41]
    assert halved_at(losses + falls[:4] + [100 + number for number in range(15)]) == []


def test_images_at_different_steps_do_not_disturb_each_other(images):
    """The second image enters when the first has done 30 passes, as in a slot that was freed."""
    threat = Linf(0.1)
    weight = torch.randn(4, 108, generator=torch.Generator().manual_seed(3))
    attack, labels = APGD(steps=60, loss="margin"), torch.tensor([0, 1])

    def reply_at(points, labels):  # the same in every bit in whatever batch
        flat = points.flatten(1)[:, None].clone().requires_grad_()
        logits = (torch.sin(9 * flat) * weight + flat * weight.roll(1, 1)).sum(-1)
        loss = margin(logits, labels)
        (gradient,) = torch.autograd.grad(loss.sum(), flat)
        return Reply(points, logits.detach(), loss.detach(), gradient.reshape(points.shape))

    def advance(target, state):
        return attack.update(target, state, reply_at(attack.propose(target, state).points, target.labels))

    def fresh(row):
        return Target(images[[row]], labels[[row]], threat, Noise(0, torch.tensor([row]), "APGD"))

    alone = []
    for row in range(2):
        state = attack.init(fresh(row))
        for _ in range(60):
            state = advance(fresh(row), state)
        alone.append(state)
    both = Target(images[:2], labels, threat, Noise(0, torch.arange(2), "APGD"))
    state = attack.init(both)
    for number in range(90):
        if number == 30:
            state = state.put(torch.tensor([1]), attack.init(fresh(1)))
        if number == 60:
            first = state.take(torch.tensor([0]))
        state = advance(both, state)
    for found, wanted in zip((first, state.take(torch.tensor([1]))), alone, strict=True):
        assert found.tensors().keys() == wanted.tensors().keys()
        assert all(torch.equal(tensor, wanted.tensors()[name]) for name, tensor in found.tensors().items())


@given(st.integers(0, 10**6), st.floats(0.001, 0.6))
@settings(max_examples=20, deadline=None)
def test_on_a_linear_classifier_it_reaches_the_optimum_in_ball_and_box(seed, epsilon):
    generator = torch.Generator().manual_seed(seed)
    images, weight = torch.rand(4, 3, 2, 2, generator=generator), torch.randn(12, generator=generator)
    labels = torch.tensor([0, 1, 1, 0])

    def model(x):
        score = x.flatten(1) @ weight
        return torch.stack([-score / 2, score / 2], dim=1)

    away = torch.where(labels == 0, 1.0, -1.0).reshape(-1, 1, 1, 1) * weight.reshape(1, 3, 2, 2)
    optimum = (images + epsilon * away.sign()).clamp(0, 1)
    found = APGD(steps=10)(model, images, labels, Linf(epsilon), seed=seed)
    torch.testing.assert_close(margin(model(found), labels), margin(model(optimum), labels), rtol=0, atol=1e-5)


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_in_l2_it_reaches_the_margin_of_the_straight_way(seed):
    generator = torch.Generator().manual_seed(seed)
    images = 0.3 + 0.4 * torch.rand(4, 3, 2, 2, generator=generator)
    weight, labels = torch.randn(2, 12, generator=generator), torch.tensor([0, 1, 1, 0])

    def model(x):
        return x.flatten(1) @ weight.T

    found = APGD(steps=40)(model, images, labels, L2(0.2), seed=seed)
    wanted = margin(model(images), labels) + 0.2 * (weight[0] - weight[1]).norm()
    torch.testing.assert_close(margin(model(found), labels), wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("seed", "epsilon"), [(0, 0.5), (1, 2.0), (2, 4.0), (3, 8.0)])
def test_in_l1_it_puts_the_changes_where_they_count_and_there_is_room(seed, epsilon):
    generator = torch.Generator().manual_seed(seed)
    images, weight = torch.rand(4, 3, 8, 8, generator=generator), torch.randn(192, generator=generator)
    labels, sign = torch.tensor([0, 1, 1, 0]), torch.tensor([1.0, -1.0, -1.0, 1.0])

    def model(x):
        score = x.flatten(1) @ weight
        return torch.stack([-score / 2, score / 2], dim=1)

    away = sign[:, None] * weight
    room = torch.where(away > 0, 1 - images.flatten(1), images.flatten(1))
    order = away.abs().argsort(dim=1, descending=True)
    before = room.gather(1, order).cumsum(dim=1) - room.gather(1, order)
    spent = torch.minimum(room.gather(1, order), (epsilon - before).clamp_min(0))
    gain = (away.abs().gather(1, order) * spent).sum(dim=1)
    found = APGD(steps=100)(model, images, labels, L1(epsilon), seed=seed)
    reached = margin(model(found), labels) - margin(model(images), labels)
    assert (reached <= gain + 1e-5).all()
    assert (reached >= 0.9 * gain).all()  # it may end at an edge of the box


def test_in_l1_it_keeps_to_ball_and_box_and_to_each_image(curved, images, labels):
    threat = L1(2.0)
    found = APGD(steps=30)(curved, images, labels, threat)
    assert 0 <= found.min() <= found.max() <= 1
    assert threat.size(found.double() - images.double()).max() <= 2.0 * (1 + 1e-5)
    alone = APGD(steps=30)(curved, images[3:4], labels[3:4], threat)
    torch.testing.assert_close(margin(curved(alone), labels[3:4]), margin(curved(found[3:4]), labels[3:4]))


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.3)], ids=str)
def test_it_starts_on_the_sphere_and_every_run_somewhere_else(curved, labels, threat, sees):
    grey = torch.full((24, 3, 6, 6), 0.5)
    seen = sees(APGD(steps=1, restarts=2), curved, grey, labels, threat)
    starts = seen[::2]
    for start in starts:
        torch.testing.assert_close(threat.size(start - grey), torch.full((24,), threat.epsilon))
    assert not torch.isclose(starts[0], starts[1]).flatten(1).all(dim=1).any()


@pytest.mark.parametrize(
    ("fields", "classes", "runs"),
    [
        ({}, 10, 1),
        ({"restarts": 3}, 10, 3),
        ({"loss": "targeted_dlr"}, 10, 9),
        ({"loss": "targeted_dlr"}, 1000, 9),
        ({"loss": "targeted_dlr"}, 5, 4),
        ({"loss": "targeted_margin"}, 2, 1),
        ({"loss": "targeted_margin", "targets": 2, "restarts": 3}, 10, 6),
    ],
)
def test_the_runs_are_never_towards_more_classes_than_there_are_wrong_ones(fields, classes, runs):
    assert APGD(**fields).course(classes).runs == runs


def test_the_runs_try_the_likely_classes_first_and_each_once_before_any_twice(curved, images, labels):
    attack = APGD(loss="targeted_margin", targets=3, restarts=2)
    logits = curved(images).detach()
    target = Target(images, labels, Linf(0.1), Noise(0, torch.arange(24), "APGD"), logits)
    order = logits.argsort(dim=1, descending=True)
    for run, rank in enumerate([1, 2, 3, 1, 2, 3]):
        state = attack.init(target.at(run))
        assert torch.equal(state.targets, order[:, rank])
        assert torch.equal(attack.propose(target.at(run), state).targets, order[:, rank])
    four = dataclasses.replace(attack, targets=9).init(
        dataclasses.replace(target, clean=logits[:, :4], labels=labels % 4).at(3)
    )
    others = logits[:, :4].scatter(1, (labels % 4)[:, None], -torch.inf)
    assert torch.equal(four.targets, others.argmax(dim=1))  # the fourth run of three classes is the first again


@pytest.mark.parametrize(
    ("fields", "forwards", "backwards"),
    [
        ({"steps": 7}, 8, 7),
        ({"steps": 3, "restarts": 4}, 16, 12),
        ({"steps": 3, "samples": 5}, 20, 15),
        ({"steps": 3, "loss": "targeted_dlr"}, 1 + 9 * 4, 9 * 3),
    ],
)
def test_it_costs_what_it_says(curved, images, labels, fields, forwards, backwards, recorded):
    recorder = recorded(curved)
    APGD(**fields)(recorder, images, labels, Linf(0.1))
    assert (len(recorder.seen), recorder.backwards) == (forwards, backwards)


def test_the_point_behind_the_last_step_is_looked_at(curved, images, labels, sees):
    seen = sees(APGD(steps=4), curved, images, labels, Linf(0.1))
    margins = torch.stack([margin(curved(points), labels) for points in seen]).detach()
    assert (margins.argmax(dim=0) == 4).any()  # else this would show nothing
    found = APGD(steps=4).search(curved, Target(images, labels, Linf(0.1), Noise(0, torch.arange(24), "APGD")))
    torch.testing.assert_close(margin(curved(found), labels).detach(), margins.amax(dim=0))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"restarts": 0}, "restarts must be at least 1; got 0"),
        ({"targets": 0}, "targets must be at least 1; got 0"),
        ({"samples": 0}, "samples must be at least 1; got 0"),
        ({"rho": 0.0}, r"rho must be in \(0, 1\); got 0"),
        ({"rho": 1.0}, r"rho must be in \(0, 1\); got 1"),
        ({"loss": "dlrr"}, "did you mean 'dlr'"),
    ],
)
def test_hyper_parameters_that_mean_nothing_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        APGD(**fields)


@pytest.mark.parametrize(("loss", "classes"), [("dlr", 2), ("targeted_dlr", 3)])
def test_a_loss_that_has_no_meaning_for_so_few_classes_is_refused(images, loss, classes):
    with pytest.raises(UserError, match=f"needs at least {classes + 1} classes; the model has {classes}"):
        APGD(steps=1, loss=loss)(Curved(classes), images, torch.zeros(24, dtype=torch.int64), Linf(0.1))
