import math

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from robustpeft.attacks import FMN, minimal_norms
from robustpeft.types import L2, Linf, UserError

THREATS = [Linf(0.3), L2(1.0)]


class Curved(nn.Module):
    """Five classes, and boundaries that are no planes."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.inner = nn.Parameter(torch.randn(32, 48, generator=generator))
        self.outer = nn.Parameter(torch.randn(5, 32, generator=generator))

    def forward(self, images):
        return torch.tanh((images.flatten(1) - 0.5) @ self.inner.T) @ self.outer.T


@pytest.fixture(scope="module")
def curved():
    return Curved()


@pytest.fixture(scope="module")
def images():
    images = torch.rand(20, 3, 4, 4, generator=torch.Generator().manual_seed(4))
    images[0] = images[0].round()
    return images


@pytest.fixture(scope="module")
def labels(curved, images):
    labels = curved(images).argmax(1)
    labels[3] = (labels[3] + 1) % 5  # one that is misclassified as it is
    return labels


def reference(model, x, label, steps, norm, alpha_init=1.0, gamma_init=0.05, gamma_final=0.001):
    """Return the points that FMN looks at for one image, written down once more in float64."""
    order, dual = (2, 2) if norm == "l2" else (math.inf, 1)
    x = x.double()
    delta, reach, radius, best = torch.zeros_like(x), 0.0, math.inf, math.inf
    path = [x]
    for k in range(steps):
        cosine = (1 + math.cos(math.pi * k / steps)) / 2
        alpha = alpha_init / 100 + (alpha_init - alpha_init / 100) * cosine
        gamma = gamma_final + (gamma_init - gamma_final) * cosine
        point = (x + delta).requires_grad_()
        logits = model(point[None])[0]
        gap = torch.cat([logits[:label], logits[label + 1 :]]).max() - logits[label]
        (g,) = torch.autograd.grad(gap, point)
        gap, size = float(gap.detach()), float(delta.flatten().norm(order))
        if gap > 0:
            best = min(best, size)
            radius = min(radius * (1 - gamma), best)
        elif best < math.inf:
            radius = radius * (1 + gamma)
        else:
            radius = max(size + abs(gap) / float(g.flatten().norm(dual)), reach * (1 + gamma))
        radius = min(radius, float(torch.maximum(x, 1 - x).flatten().norm(order)))
        delta = delta + alpha * g / g.norm()
        shorter = min(1.0, radius / float(delta.norm()))
        delta = delta * shorter if norm == "l2" else delta.clamp(-radius, radius)
        reach = float(delta.flatten().norm(order))
        delta = (x + delta).clamp(0, 1) - x
        path.append(x + delta)
    return torch.stack(path).float()


@pytest.mark.parametrize("threat", THREATS, ids=str)
@pytest.mark.parametrize(
    "fields",
    [
        {"steps": 1},
        {"steps": 2},
        {"steps": 30},
        {"steps": 15, "alpha_init": 0.05, "gamma_init": 0.3, "gamma_final": 0.1},
        {"steps": 10, "alpha_init": 5.0, "gamma_init": 0.2, "gamma_final": 0.2},
    ],
    ids=str,
)
def test_it_looks_where_the_loop_written_down_once_more_looks(curved, images, labels, threat, fields, recorded):
    recorder = recorded(curved)
    FMN(**fields)(recorder, images, labels, threat)
    paths = torch.stack(recorder.seen, dim=1)
    double = Curved().double()
    for path, image, label in zip(paths, images, labels, strict=True):
        wanted = reference(double, image, int(label), norm=threat.norm, **fields)
        torch.testing.assert_close(path, wanted, rtol=0, atol=1e-5)


def test_no_ball_is_larger_than_the_box(recorded):
    def flat(points):
        score = torch.tanh((points.flatten(1) - 0.5).sum(1) * 2.5)  # so flat at the image that the boundary seems far
        return torch.stack([-score, score], 1)

    image, label = (
        0.35 + 0.1 * torch.rand(1, 3, 2, 2, generator=torch.Generator().manual_seed(1)),
        torch.zeros(1).long(),
    )
    recorder = recorded(flat)
    FMN(steps=1, alpha_init=50.0)(recorder, image, label, L2(1.0))
    radius = torch.maximum(image, 1 - image).norm()
    wanted = (image + radius / 12**0.5).clamp(0, 1)
    torch.testing.assert_close(recorder.seen[1], wanted, rtol=0, atol=1e-5)
    assert wanted.min() < 1


@pytest.mark.parametrize("threat", THREATS, ids=str)
def test_it_takes_a_pass_for_each_step_and_one_look_at_the_end(curved, images, labels, threat, recorded):
    recorder = recorded(curved)
    FMN(steps=7)(recorder, images, labels, threat)
    assert (len(recorder.seen), recorder.backwards) == (8, 7)


def test_the_look_at_the_last_step_counts_and_what_lies_beyond_the_threat_does_not():
    def across(points):
        score = (points.flatten(1) - 0.5).sum(1)
        return torch.stack([-score, score + 1e-3 * score**2], 1)  # one step along the gradient just crosses

    image, label = torch.full((1, 3, 2, 2), 0.4), torch.zeros(1).long()
    found = FMN(steps=1)(across, image, label, Linf(0.11))
    torch.testing.assert_close(found, image + 0.1, rtol=0, atol=1e-3)
    assert across(found).argmax() == 1
    assert torch.equal(FMN(steps=1)(across, image, label, Linf(0.09)), image)


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


def draw(seed, classes, at_edges):
    """Return the weights of a linear model, images, and their classes."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, 48, generator=generator)
    images = torch.rand(3, 3, 4, 4, generator=generator)
    images = images.round() if at_edges else images
    return weight, images, (images.flatten(1) @ weight.T).argmax(1)


def closed_form(weight, images, labels, norm):
    """Return the smallest norms (b, classes - 1) that reach each wrong class of a linear model."""
    return torch.tensor(
        [
            [nearest(x, w - weight[y], (w - weight[y]) @ x, norm) for k, w in enumerate(weight) if k != y]
            for x, y in zip(images.flatten(1), labels, strict=True)
        ]
    )


@pytest.mark.parametrize("threat", THREATS, ids=str)
@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=8, deadline=None)
def test_the_minimal_norm_of_a_linear_model_is_found_within_1_percent(threat, seed, at_edges):
    weight, images, labels = draw(seed, 2, at_edges)
    wanted = closed_form(weight.double(), images.double(), labels, threat.norm)[:, 0]
    found = minimal_norms(lambda x: x.flatten(1) @ weight.T, images, labels, threat)
    assert (found >= wanted * (1 - 1e-5) - 1e-6).all()
    assert (found <= wanted * 1.01 + 1e-6).all()


@pytest.mark.parametrize("threat", THREATS, ids=str)
@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=8, deadline=None)
def test_with_several_classes_it_is_that_of_one_of_them_and_never_less_than_the_smallest(threat, seed, at_edges):
    """The class it climbs to is the one whose logit is nearest, which need not be the one whose boundary is."""
    weight, images, labels = draw(seed, 5, at_edges)
    wanted = closed_form(weight.double(), images.double(), labels, threat.norm)
    found = minimal_norms(lambda x: x.flatten(1) @ weight.T, images, labels, threat)
    assert (found >= wanted.amin(1) * (1 - 1e-5) - 1e-6).all()
    assert ((found[:, None] - wanted).abs() <= 0.01 * wanted + 1e-6).any(1).all()


@pytest.mark.parametrize("threat", THREATS, ids=str)
def test_what_is_misclassified_as_it_is_is_left_where_it_is(curved, images, labels, threat, recorded):
    recorder = recorded(curved)
    FMN(steps=5)(recorder, images[3:4], labels[3:4], threat)
    assert all(torch.equal(points, images[3:4]) for points in recorder.seen)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"alpha_init": 0.0}, "alpha_init must be above 0, in pixel units; got 0"),
        ({"alpha_init": math.inf}, "alpha_init must be a finite number; got inf"),
        ({"gamma_init": 1.0}, r"gamma_init must be in \(0, 1\); got 1"),
        ({"gamma_final": 0.0}, r"gamma_final must be in \(0, 1\); got 0"),
        ({"gamma_final": 0.06}, "gamma_final must not be larger than gamma_init; got 0.06 and 0.05"),
    ],
)
def test_hyper_parameters_without_meaning_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        FMN(**fields)


def test_another_norm_is_refused(curved, images, labels):
    class Other(Linf):
        norm = "l1"

    with pytest.raises(UserError, match="FMN is written for linf and l2; got l1"):
        FMN()(curved, images, labels, Other(0.1))
