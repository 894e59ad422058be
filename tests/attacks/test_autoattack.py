import dataclasses

import pytest
import torch
from torch import nn

from robustpeft.attacks import APGD, AutoAttack, margin
from robustpeft.attacks.fab import FAB
from robustpeft.attacks.square import Square
from robustpeft.types import L2, Linf, UserError


class Curved(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.inner = nn.Parameter(torch.randn(16, 48, generator=generator) / 4)
        self.outer = nn.Parameter(torch.randn(classes, 16, generator=generator))

    def forward(self, images):
        return torch.sin(images.flatten(1) @ self.inner.T) @ self.outer.T


FEW = {APGD: {"steps": 5}, FAB: {"steps": 5}, Square: {"queries": 10}}


@pytest.fixture
def shortened(monkeypatch):
    whole = AutoAttack.stages

    def stages(self, classes):
        return tuple(dataclasses.replace(stage, **FEW[type(stage)]) for stage in whole(self, classes))

    monkeypatch.setattr(AutoAttack, "stages", stages)


@pytest.fixture(scope="module")
def images():
    return torch.rand(16, 3, 4, 4, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("classes", [10, 200])
def test_the_standard_version_is_the_published_one(classes):
    """Not of ten steps, as some that go by the name."""
    assert AutoAttack().stages(classes) == (
        APGD(steps=100, restarts=1, loss="cross_entropy", rho=0.75, samples=1),
        APGD(steps=100, restarts=1, loss="targeted_dlr", targets=9, rho=0.75, samples=1),
        FAB(steps=100, restarts=1, targets=9),
        Square(queries=5000),
    )


def test_plus_has_five_restarts_and_the_untargeted_ratio_besides():
    assert AutoAttack(version="plus").stages(10) == (
        APGD(steps=100, restarts=5, loss="cross_entropy"),
        APGD(steps=100, restarts=5, loss="dlr"),
        FAB(steps=100, restarts=5, targets=9),
        Square(queries=5000),
        APGD(steps=100, restarts=1, loss="targeted_dlr", targets=9),
    )


def test_rand_averages_twenty_answers():
    assert AutoAttack(version="rand").stages(10) == (
        APGD(steps=100, restarts=1, loss="cross_entropy", samples=20),
        APGD(steps=100, restarts=1, loss="dlr", samples=20),
    )


@pytest.mark.parametrize(
    ("classes", "targets", "targeted", "ratio"),
    [
        (2, 1, "targeted_margin", "margin"),
        (3, 2, "targeted_margin", "dlr"),
        (4, 3, "targeted_dlr", "dlr"),
        (9, 8, "targeted_dlr", "dlr"),
        (10, 9, "targeted_dlr", "dlr"),
    ],
)
def test_few_classes_have_as_many_targets_as_wrong_classes_and_losses_with_a_meaning(classes, targets, targeted, ratio):
    _, towards, fab, _ = AutoAttack().stages(classes)
    assert (towards.loss, towards.targets, fab.targets) == (targeted, targets, targets)
    assert [stage.course(classes).runs for stage in (towards, fab)] == [targets, targets]
    assert AutoAttack(version="rand").stages(classes)[1].loss == ratio
    plus = AutoAttack(version="plus").stages(classes)
    assert (plus[1].loss, plus[2].targets, plus[4]) == (ratio, targets, towards)


@pytest.mark.usefixtures("shortened")
@pytest.mark.parametrize("version", ["standard", "plus", "rand"])
@pytest.mark.parametrize("classes", [2, 3, 4, 12])
def test_it_runs_on_models_of_any_number_of_classes(images, version, classes):
    model = Curved(classes)
    labels = model(images).argmax(dim=1)
    found = AutoAttack(version)(model, images, labels, Linf(0.02))
    assert (margin(model(found), labels) >= margin(model(images), labels)).all()
    assert Linf(1.0).size(found - images).max() <= 0.02 + 1e-6


@pytest.mark.usefixtures("shortened")
@pytest.mark.parametrize("threat", [Linf(0.01), L2(0.1)], ids=str)
def test_each_stage_sees_only_what_the_ones_before_it_left(images, threat, monkeypatch):
    model = Curved()
    labels = model(images).argmax(dim=1)
    labels[:3] = (labels[:3] + 1) % 4
    seen = []
    for cls in (APGD, FAB, Square):

        def search(self, view, target, whole=cls.search):
            found = whole(self, view, target)
            broken = margin(view(found), target.labels) > 0
            seen.append((type(self), target.images, broken))
            return found

        monkeypatch.setattr(cls, "search", search)
    found = AutoAttack()(model, images, labels, threat)
    assert torch.equal(found[:3], images[:3])  # misclassified as they are
    assert [cls for cls, _, _ in seen] == [APGD, APGD, FAB, Square]
    left = images[3:]
    for _, given, broken in seen:
        assert torch.equal(given, left)
        left = given[~broken]
    assert 0 < len(left) < 13  # some broke, some did not
    assert (margin(model(found), labels) > 0).sum() == 16 - len(left)


def test_an_unknown_version_is_refused():
    with pytest.raises(UserError, match="version must be 'standard', 'plus' or 'rand'; got 'fast'"):
        AutoAttack("fast")
