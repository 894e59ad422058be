"""A smooth little classifier whose labels are its own answers, and audits of it and of what is made of it."""

import dataclasses

import pytest
import torch
from torch import nn

from robustpeft.attacks import FGSM, PGD, Judge
from robustpeft.auditing.attacked import Attacked, measure_attacks
from robustpeft.auditing.checks.case import Case, Keepsake
from robustpeft.auditing.checks.fingerprint import fingerprint
from robustpeft.auditing.conditions import conditions_of
from robustpeft.auditing.effort import Effort
from robustpeft.auditing.measure import Setting, measure
from robustpeft.auditing.plan import AuditPlan
from robustpeft.auditing.progress import Pace
from robustpeft.data.image_store import InMemory
from robustpeft.data.split import Split
from robustpeft.records import Subject

SIDE, CLASSES, N = 6, 3, 48
PLAN = AuditPlan(
    epsilons=(0.002, 0.01),
    attacks=(FGSM(), PGD(steps=5), PGD(steps=5, loss="margin")),
    perturbations=(),
    images=None,
    batch_size=16,
    gallery=0,
)


class Honest(nn.Module):
    """logits = V tanh(W (x - 0.5)): smooth, deterministic, without state."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.hidden = nn.Parameter(0.6 * torch.randn(24, 3 * SIDE * SIDE, generator=generator))
        self.output = nn.Parameter(torch.randn(CLASSES, 24, generator=generator))

    def forward(self, images):
        return torch.tanh((images - 0.5).flatten(1) @ self.hidden.T) @ self.output.T


class Around(nn.Module):
    """An honest model with something around it."""

    def __init__(self, before=lambda images: images, after=lambda logits: logits):
        super().__init__()
        self.inner, self.before, self.after = Honest(), before, after

    def forward(self, images):
        return self.after(self.inner(self.before(images)))


class Masked(torch.autograd.Function):
    """The same values; a gradient of 0, of noise, or of the opposite sign."""

    @staticmethod
    def forward(ctx, images, factor):
        ctx.factor = factor
        return images.clone()

    @staticmethod
    def backward(ctx, gradient):
        if ctx.factor is None:
            generator = torch.Generator().manual_seed(5)
            return torch.randn(gradient.shape, generator=generator), None
        return ctx.factor * gradient, None


class Adapted(nn.Module):
    """An honest model with a switch: logits = honest(x) + on * path(x), folded or not."""

    def __init__(self, path, folded=None):
        super().__init__()
        self.inner, self.path, self.folded_path, self.on = Honest(), path, folded or path, True

    def forward(self, images):
        return self.inner(images) + (self.path(images) if self.on else 0.0)

    def attack_view(self):
        on = self.on
        return lambda images: self.inner(images) + (self.folded_path(images) if on else 0.0)

    def features(self, images):
        return images.flatten(1)

    def disabled(self):
        import contextlib

        @contextlib.contextmanager
        def off():
            self.on = False
            try:
                yield
            finally:
                self.on = True

        return off()


def images_of(n=N, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(60, 196, (n, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)


def split_of(n=N, pixels=None, labels=None):
    pixels = images_of(n) if pixels is None else pixels
    if labels is None:
        with torch.no_grad():
            labels = Honest()(pixels.float() / 255).argmax(dim=1)
    return Split(InMemory(pixels), torch.arange(len(pixels)), labels, 100 + 3 * torch.arange(len(pixels)))


@pytest.fixture
def make_case():
    """Return an audit of a model, attacked or not, ready to be examined."""

    def make(model=None, *, split=None, plan=PLAN, attacked=True, method=None, objective=None, **changes):
        model = Honest() if model is None else model
        split = split_of() if split is None else split
        setting = Setting(
            judge=Judge(model, 16),
            split=split,
            classes=tuple("abcdefgh"[:CLASSES]),
            width=16,
            device=torch.device("cpu"),
            seed=0,
            shown=torch.zeros(0, dtype=torch.int64),
        )
        subject = Subject("toy", "toy", "0" * 64, 1, 4, method=method, objective=objective)
        effort = Effort(images=24, draws=6, queries=40)
        case = Case(model, setting, plan, subject, effort, fingerprint(model), keepsake=Keepsake(8))
        case = dataclasses.replace(case, **changes)
        if not attacked:
            return case
        conditions = conditions_of(plan, (SIDE, SIDE))
        pace = Pace(conditions, len(split), None)
        clean = measure(conditions[0], setting, pace)
        found = measure_attacks(Attacked(model, plan, conditions[1:], None, case.keepsake), setting, clean, pace)
        return dataclasses.replace(case, outcomes={conditions[0]: clean, **found})

    return make


@pytest.fixture
def honest():
    return Honest


@pytest.fixture
def around():
    return Around


@pytest.fixture
def masked():
    return Masked.apply


@pytest.fixture
def adapted():
    return Adapted


@pytest.fixture
def make_split():
    return split_of


@pytest.fixture
def plan():
    return PLAN
