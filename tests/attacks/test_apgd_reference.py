import dataclasses
import warnings

import pytest
import torch
from torch import nn

from robustpeft.attacks import APGD, margin
from robustpeft.attacks.losses import find_loss
from robustpeft.attacks.target import Target
from robustpeft.types import L1, L2, Linf, Noise


class Curved(nn.Module):
    """A loss that goes up and down within the ball."""

    def __init__(self, classes=10, pixels=108):
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.inner = nn.Parameter(torch.randn(32, pixels, generator=generator) / pixels**0.5)
        self.outer = nn.Parameter(torch.randn(classes, 32, generator=generator))

    def forward(self, images):
        return torch.sin(images.flatten(1) @ self.inner.T) @ self.outer.T


class Recorder:
    """Calls a model and remembers what it was called with, and how often a gradient was asked of it."""

    def __init__(self, model):
        self.model, self.seen, self.backwards = model, [], 0

    def __call__(self, images):
        self.seen.append(images.detach().clone())
        logits = self.model(images)
        if logits.requires_grad and torch.is_grad_enabled():
            logits.register_hook(self._count)
        return logits

    def _count(self, gradient):
        self.backwards += 1


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


def sees(attack, model, images, labels, threat, noise=None):
    """Return all points (passes, b, 3, h, w) that the search looks at."""
    recorder = Recorder(model)
    attack.search(recorder, Target(images, labels, threat, noise or Noise(0, torch.arange(len(images)), "APGD")))
    return torch.stack(recorder.seen)


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
def test_it_equals_the_algorithm_written_down_once_more_bit_for_bit(curved, images, labels, threat, steps, fields):
    found = sees(APGD(steps=steps, **fields), curved, images, labels, threat)
    assert torch.equal(found, written_down_once_more(curved, images, labels, threat, steps, **fields))


def test_towards_a_class_it_equals_the_algorithm_with_that_target(curved, images, labels):
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
    curved, images, labels, threat, norm, undivided, loss, name
):
    """Ties are comparisons of losses that differ by rounding, on plateaus: there either may take the other branch."""
    reference = pytest.importorskip("pyautoattack.autopgd_base")
    recorder = Recorder(curved)
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


def test_with_its_draws_it_follows_the_reference_implementation_towards_classes(curved, images, labels):
    reference = pytest.importorskip("pyautoattack.autopgd_base")
    threat, recorder = Linf(0.5 / 255), Recorder(curved)  # so small that no image leaves after a class
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
