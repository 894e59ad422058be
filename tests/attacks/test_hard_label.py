import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from robustpeft.attacks import AttackPlan, Driver, HardLabel, minimal_norms
from robustpeft.attacks.evaluation import Reply
from robustpeft.attacks.search import Search
from robustpeft.attacks.target import Target
from robustpeft.types import L1, L2, Linf, Noise, UserError

SIDE = 4
PIXELS = 3 * SIDE * SIDE


class Linear(nn.Module):
    """Two classes whose logits differ by w (x - 1/2)."""

    def __init__(self, seed=0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(PIXELS, generator=torch.Generator().manual_seed(seed)))
        self.asked = 0

    def forward(self, images):
        self.asked += len(images)
        score = (images - 0.5).flatten(1) @ self.weight
        return torch.stack([-score, score], dim=1)


class Scrambled(nn.Module):
    """The same classes as another model; logits without meaning."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        chosen = self.inner(images).argmax(dim=1, keepdim=True)
        chance = torch.sin(1e4 * images.flatten(1).sum(dim=1, keepdim=True))
        return torch.zeros(len(images), 2).scatter_(1, chosen, 5 + chance)


@pytest.fixture
def model():
    return Linear()


@pytest.fixture
def images():
    return 0.4 + 0.2 * torch.rand(12, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(4))


@pytest.fixture
def labels(model, images):
    with torch.no_grad():
        return model(images).argmax(dim=1)


def closed_form(model, images, norm):
    dual = 1 if norm == "linf" else 2
    return ((images - 0.5).flatten(1) @ model.weight).abs().detach() / model.weight.detach().norm(p=dual)


@pytest.mark.parametrize(("threat", "slack"), [(Linf(0.1), 0.01), (L2(0.5), 0.10)], ids=str)
def test_it_comes_close_to_the_smallest_perturbation_of_a_linear_model(model, images, labels, threat, slack):
    true = closed_form(model, images, threat.norm)
    found = minimal_norms(model, images, labels, threat, HardLabel(queries=3000))
    assert (found >= true * (1 - 1e-4)).all()
    assert (found <= true * (1 + slack)).all()


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.5)], ids=str)
def test_more_queries_find_no_larger_ones(model, images, labels, threat):
    few, more = (minimal_norms(model, images, labels, threat, HardLabel(queries=q)) for q in (150, 800))
    assert (more <= few).all()
    assert more.mean() < 0.9 * few.mean()


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.5)], ids=str)
def test_the_predicted_class_is_all_it_is_told(model, images, labels, threat):
    one, other = (minimal_norms(m, images, labels, threat, HardLabel(queries=300)) for m in (model, Scrambled(model)))
    assert torch.equal(one, other)
    assert HardLabel().course(2).labels_only


def test_who_asks_for_labels_alone_gets_no_more():
    logits = torch.tensor([[0.1, 3.0, 2.0], [5.0, 5.0, 1.0]])
    reply = Reply(torch.zeros(2, 3, 1, 1), logits, torch.ones(2), torch.ones(2, 3, 1, 1)).labels_alone()
    assert reply.logits.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert torch.equal(reply.points, torch.zeros(2, 3, 1, 1))
    assert reply.loss is None
    assert reply.gradient is None


@pytest.mark.parametrize("restarts", [1, 3])
def test_it_asks_as_often_as_it_says(model, images, labels, restarts):
    model.asked = 0
    HardLabel(queries=40, restarts=restarts)(model.eval(), images, labels, Linf(0.01))
    # The twin counts on its own: what the model counts is what its twin began with.
    assert HardLabel(queries=40, restarts=restarts).course(2).passes * restarts == 40 * restarts
    asked = []

    def watched(points):
        asked.append(len(points))
        return model(points)

    HardLabel(queries=40, restarts=restarts)(watched, images, labels, Linf(0.01))
    assert asked == [12] * 40 * restarts


@pytest.mark.parametrize("threat", [Linf(0.05), L2(0.2)], ids=str)
def test_the_driver_breaks_what_a_perturbation_within_the_threat_can_break(model, images, labels, threat, memory_split):
    true = closed_form(model, images, threat.norm)
    split = memory_split(images, labels, torch.arange(12))
    plan = AttackPlan((HardLabel(queries=2500),), (threat,))
    for slots in (3, 12):
        findings = Driver(slots=slots).run(model, split, plan)
        broken = torch.tensor([findings.broke(i, 0, 0) is not None for i in range(12)])
        assert broken[true < 0.85 * threat.epsilon].all()
        assert not broken[true > threat.epsilon].any()
        steps = [row.step for row in findings.rows.values() if row.broken and row.stage != "clean"]
        assert all(1 <= step <= 2500 for step in steps)


def test_restarts_begin_elsewhere_in_linf(model, images, labels):
    class Watch:
        def __init__(self):
            self.points = []

        def __call__(self, points):
            self.points.append(points.clone())
            return model(points)

    watch = Watch()
    HardLabel(queries=10, restarts=2)(watch, images, labels, Linf(0.1))
    assert (watch.points[0] == 1).all()
    assert not (watch.points[10] == 1).all()
    assert set(watch.points[10].unique().tolist()) == {0.0, 1.0}


def test_the_radius_never_grows_and_is_always_wrong(model, images, labels):
    """Follows the state through a run: what it holds as the best ray was seen to be wrong."""
    seen = []

    @dataclasses.dataclass(frozen=True)
    class Followed(Search):
        cost = "forwards"

        def course(self, classes):
            return HardLabel(queries=400).course(classes)

        def init(self, target):
            return HardLabel(queries=400).init(target)

        def propose(self, target, state):
            return HardLabel(queries=400).propose(target, state)

        def update(self, target, state, reply):
            after = HardLabel(queries=400).update(target, state, reply)
            seen.append(after)
            return after

    Followed()(model, images, labels, Linf(0.1))
    radii = torch.stack([state.radius for state in seen])
    assert (radii[1:] <= radii[:-1]).all()
    last = seen[-1]
    points = (images + last.radius[:, None, None, None] * last.best).clamp(0, 1)
    with torch.no_grad():
        assert (model(points).argmax(dim=1) != labels).all()


def told(search, threat, images, answers):
    """Return target and point of every look at one image, told each time: wrong (1) or right (0)."""
    target = Target(images, torch.tensor([0]), threat, Noise(3, torch.tensor([7]), "s"))
    state, looks = search.init(target), []
    for step, wrong in enumerate(answers):
        here = target.at(0, step)
        points = search.propose(here, state).points
        looks.append((here, points))
        state = search.update(here, state, Reply(points, F.one_hot(torch.tensor([wrong]), 2).float()))
    return looks


@pytest.mark.parametrize(("threat", "looks"), [(Linf(0.1), 8), (L2(0.5), 10)], ids=str)
def test_the_radius_is_halved_down_to_a_share_of_it(threat, looks):
    black = torch.zeros(1, 3, 16, 16)  # no ray leaves the box
    sizes = [points.norm() for _, points in told(HardLabel(), threat, black, [1] + [0] * 20)]
    along = [float(size / sizes[0]) for size in sizes[1:]]
    assert along[:looks] == pytest.approx([1 - 2.0**-k for k in range(1, looks + 1)])  # right everywhere
    assert along[looks] != pytest.approx(1 - 2.0 ** -(looks + 1), abs=1e-5)
    share = 1 / 200 if threat.norm == "linf" else 0.03 / 768**0.5  # of the radius, as is written at the top of the file
    assert 2.0**-looks <= share < 2.0 ** -(looks - 1)


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.5)], ids=str)
def test_halving_goes_on_on_the_side_where_the_boundary_is(threat):
    sizes = [points.norm() for _, points in told(HardLabel(), threat, torch.zeros(1, 3, 16, 16), [1, 1, 0, 1, 0, 0])]
    assert [float(size / sizes[0]) for size in sizes] == pytest.approx([1, 1 / 2, 1 / 4, 3 / 8, 5 / 16, 11 / 32])


def test_in_linf_the_blocks_of_every_level_are_apart_and_cover_the_image():
    values, levels = 3 * 2 * 3, (1, 2, 4, 8, 16, 18)
    looks = told(HardLabel(), Linf(0.1), torch.full((1, 3, 2, 3), 0.5), [1] + [0] * (8 + sum(levels) + 1))
    assert (looks[0][1] == 1).all()
    turned = iter([(points < 0.5).flatten() for _, points in looks[9:]])
    for blocks in levels:
        masks = torch.stack([next(turned) for _ in range(blocks)]).long()
        assert masks.sum(0).tolist() == [1] * values
        assert masks.argmax(0).tolist() == sorted(masks.argmax(0).tolist())  # in order, each without a gap
        assert masks.sum(1).max() - masks.sum(1).min() <= 1
    assert next(turned).all()  # and from the beginning


@pytest.mark.parametrize("side", [1, 4])
def test_in_l2_the_ray_turns_towards_the_normal_by_half_as_much_each_time(side):
    def unit(vector):
        return vector / vector.norm()

    def normal_by(looks, answers):
        """Return the estimate of the normal from probes and their answers, 1 or -1."""
        steps = torch.stack([unit(here.noise.normal((3, side, side), purpose=1)[0]) for here, _ in looks])
        for step, (_, points) in zip(steps, looks, strict=True):
            torch.testing.assert_close(points[0], (0.5 + radius * (best + 0.1 * step)).clamp(0, 1), rtol=0, atol=1e-6)
        shares = torch.tensor(answers) - sum(answers) / len(answers)
        return unit((shares[:, None, None, None] * steps).sum(0))

    # Wrong at the start, right wherever it is halved; one of the 4 probes is wrong, so are 2 of the next 4 sqrt(2) = 5.
    answers = [1] + [0] * 8 + [1, 0, 0, 0] + [0] * 5 + [0, 1, 0, 1, 0] + [0]
    looks = told(HardLabel(probes=4), L2(0.5), torch.full((1, 3, side, side), 0.5), answers)
    way = looks[0][1][0] - 0.5
    best, radius = unit(way), way.norm()
    normal = normal_by(looks[9:13], [1, -1, -1, -1])
    for turn, (_, points) in enumerate(looks[13:18]):  # by 1, 1/2, ... 1/16, all in vain
        wanted = (0.5 + radius * unit(best + 2.0**-turn * normal)).clamp(0, 1)
        torch.testing.assert_close(points[0], wanted, rtol=0, atol=1e-6)
    normal = normal_by(looks[18:23], [-1, 1, -1, 1, -1])
    wanted = (0.5 + radius * unit(best + normal)).clamp(0, 1)
    torch.testing.assert_close(looks[23][1][0], wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"queries": 0}, "queries must"),
        ({"restarts": 0}, "restarts must"),
        ({"probes": 1}, "probes must be at least 2: one answer has no mean to differ from; got 1"),
    ],
)
def test_what_cannot_be_searched_is_refused(fields, message):
    with pytest.raises(UserError, match=message):
        HardLabel(**fields)


def test_two_probes_are_enough():
    assert HardLabel(probes=2).probes == 2


def test_other_norms_are_refused(model, images, labels):
    with pytest.raises(UserError, match="linf and l2; got l1"):
        HardLabel(queries=3)(model, images, labels, L1(2.0))
