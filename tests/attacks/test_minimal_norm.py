import pytest
import torch

from robustpeft.attacks import FAB, FMN, PGD, margin, minimal_norms
from robustpeft.attacks.autoattack import AutoAttack
from robustpeft.attacks.minimal_norm import _Watched, smallest_found
from robustpeft.types import L2, Linf, UserError

SEARCHES = [None, FMN(steps=40), FAB(steps=10), FAB(steps=10, restarts=2)]


def across(images):
    """Return logits that are equal where the pixels are 0.5 on average."""
    score = (images.flatten(1) - 0.5).sum(1)
    return torch.stack([-score, score], 1)


@pytest.fixture
def images():
    return torch.tensor([0.4, 0.45, 0.3, 0.6]).reshape(4, 1, 1, 1).expand(4, 3, 2, 2).clone()


@pytest.fixture
def labels():
    return torch.tensor([0, 0, 0, 0])


@pytest.mark.parametrize("attack", SEARCHES, ids=str)
@pytest.mark.parametrize("epsilon", [0.0, 0.01, 0.5])
@pytest.mark.parametrize("norm", [Linf, L2])
def test_it_is_the_distance_to_the_boundary_whatever_epsilon_and_0_behind_it(images, labels, attack, epsilon, norm):
    found = minimal_norms(across, images, labels, norm(epsilon), attack)
    wanted = torch.tensor([0.1, 0.05, 0.2, 0.0]) * (1.0 if norm is Linf else 12**0.5)
    assert found.dtype == torch.float32
    assert found[3] == 0
    assert ((found / wanted)[:3] > 1 - 1e-6).all()
    assert ((found / wanted)[:3] < 1.01).all()


@pytest.mark.parametrize("attack", SEARCHES, ids=str)
def test_where_nothing_is_found_it_is_infinite(images, labels, attack):
    far = torch.tensor([1000.0, 0.0])
    assert (minimal_norms(lambda x: across(x) + far, images, labels, Linf(0.1), attack) == torch.inf).all()


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.3)], ids=str)
def test_it_is_the_smallest_of_all_points_the_search_proposed(threat):
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(4, 12, generator=generator)
    images = torch.rand(5, 3, 2, 2, generator=generator)
    labels = (images.flatten(1).sin() @ weight.T).argmax(1)
    seen = []

    def model(points):
        logits = points.flatten(1).mul(6).sin() @ weight.T
        wrong = logits.argmax(1) != labels
        size = threat.size(points.detach() - images)
        seen.append(torch.where(wrong, size, torch.full_like(size, torch.inf)))
        return logits

    found = minimal_norms(model, images, labels, threat, FAB(steps=6, restarts=2), seed=3)
    torch.testing.assert_close(found, torch.stack(seen).amin(0))


def test_the_seed_and_the_ids_reach_the_search(images, labels):
    def curved(points):
        return torch.stack([points.flatten(1).sum(1), (9 * points.flatten(1)).sin().sum(1) + 6.1], 1)

    def norms(**keys):
        return minimal_norms(curved, images, labels, L2(1.0), FAB(steps=1, restarts=2), **keys)

    assert torch.equal(norms(seed=1), norms(seed=1))
    assert not torch.equal(norms(seed=1), norms(seed=2))
    assert not torch.equal(norms(ids=torch.arange(4)), norms(ids=torch.arange(4) + 4))


def test_it_costs_one_forward_more_than_the_search(images, labels):
    calls = []

    def counted(points):
        calls.append(len(points))
        return across(points)

    minimal_norms(counted, images, labels, Linf(0.1), FMN(steps=5))
    assert calls == [4] * (5 + 1 + 1)


def test_a_model_is_attacked_in_eval_mode_and_left_as_it_was(images, labels):
    class Model(torch.nn.Module):
        def forward(self, points):
            assert not self.training
            return across(points)

    model = Model().train()
    minimal_norms(model, images, labels, Linf(0.1), FMN(steps=3))
    assert model.training


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_images_of_another_precision_are_measured_as_the_model_saw_them(images, labels, dtype):
    found = minimal_norms(across, images.to(dtype), labels.int(), Linf(0.1), FMN(steps=60))
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found, torch.tensor([0.1, 0.05, 0.2, 0.0]), rtol=0, atol=8e-3
    )  # half a unit in the last place, twice


@pytest.mark.parametrize("place", range(4))
def test_it_is_found_of_one_image_alone_too(images, labels, place):
    one = slice(place, place + 1)
    found, among = (smallest_found(across, images[part], labels[part], Linf(0.12)) for part in (one, slice(None)))
    torch.testing.assert_close(found.norms, among.norms[one])
    assert torch.equal(found.inside, among.inside[one])


def test_no_images_have_no_norms(images, labels):
    assert minimal_norms(across, images[:0], labels[:0], Linf(0.1)).shape == (0,)
    found = smallest_found(across, images[:0], labels[:0], Linf(0.1))
    assert found.points.shape == found.clearest.shape == (0, 3, 2, 2)
    assert found.inside.shape == (0,)
    assert found.inside.dtype == torch.bool


@pytest.mark.parametrize(("epsilon", "radius"), [(0.2, 0.1), (0.0, 0.5)])
def test_random_starts_lie_at_half_of_epsilon_and_at_epsilon_0_at_half_of_1(labels, epsilon, radius):
    images, seen = torch.full((4, 3, 2, 2), 0.5), []

    def model(points):
        seen.append(points.detach())
        return across(points) + torch.tensor([100.0, 0.0])

    minimal_norms(model, images, labels, Linf(epsilon), FAB(steps=1, restarts=2))
    assert len(seen) == 1 + 2 + 2 + 1  # the clean images, each run's look for the gradient and for the label, and again
    assert torch.equal(seen[1], images)
    torch.testing.assert_close(Linf(1.0).size(seen[3] - images), torch.full((4,), radius))


def test_points_and_the_clearest_are_those_of_the_norms(images, labels):
    found = smallest_found(across, images, labels, Linf(0.12), FMN(steps=40))
    torch.testing.assert_close(Linf(1.0).size(found.points - images), found.norms)
    assert found.inside.tolist() == [True, True, False, True]  # 0.1, 0.05, 0.2 and 0 away
    wrong = margin(across(found.clearest), labels) > 0
    assert torch.equal(wrong, found.inside)
    assert (Linf(1.0).size(found.clearest - images) <= 0.12 + 1e-6).all()
    assert torch.equal(found.clearest[2], images[2])
    assert (margin(across(found.clearest), labels) >= margin(across(found.points), labels))[found.inside].all()


@pytest.mark.parametrize(("epsilon", "inside"), [(0.25, True), (0.2499, False)])
def test_a_point_on_the_edge_of_the_ball_is_inside(labels, epsilon, inside):
    images = torch.full((4, 3, 2, 2), 0.5)
    watched = _Watched(across, images, labels, Linf(epsilon))
    watched(images + 0.25)
    assert (watched.margins > 0).tolist() == [inside] * 4
    assert torch.equal(watched.clearest, images + 0.25 * inside)


@pytest.mark.parametrize("attack", [PGD(), AutoAttack()], ids=lambda attack: type(attack).__name__)
def test_a_search_within_the_threat_is_refused(images, labels, attack):
    with pytest.raises(UserError, match="minimal norms need a search that looks beyond the threat"):
        minimal_norms(across, images, labels, Linf(0.1), attack)
