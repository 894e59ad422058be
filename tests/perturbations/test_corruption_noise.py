import pytest
import torch
from scipy import stats

from robustpeft.perturbations import Corruption
from robustpeft.perturbations.corruption_noise import poisson

GREY = torch.full((40, 3, 16, 16), 0.5)
IDS = torch.arange(40)


@pytest.mark.parametrize(("constants", "sigma"), [("imagenet_c", 0.08), ("cifar_c", 0.04)])
def test_gaussian_noise_has_the_published_standard_deviation(constants, sigma):
    found = Corruption("gaussian_noise", 1, constants)(GREY, ids=IDS) - 0.5
    assert found.mean().abs() < 0.002
    assert found.std().item() == pytest.approx(sigma, rel=0.02)


@pytest.mark.parametrize(("constants", "photons"), [("imagenet_c", 60), ("cifar_c", 500)])
def test_shot_noise_has_the_variance_of_counted_photons(constants, photons):
    found = Corruption("shot_noise", 1, constants)(GREY, ids=IDS)
    assert found.mean().item() == pytest.approx(0.5, abs=0.002)
    assert found.var().item() == pytest.approx(0.5 / photons, rel=0.05)
    torch.testing.assert_close(found * photons, (found * photons).round(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("rate", [0.0, 0.3, 5.0, 60.0, 500.0])
def test_the_counts_are_poisson_quantiles(rate):
    uniform = torch.linspace(0.001, 0.999, 400)
    found = poisson(torch.full((400,), rate), uniform)
    expected = stats.poisson.ppf(uniform.double().numpy(), rate) if rate else torch.zeros(400).numpy()
    assert torch.equal(found, torch.tensor(expected, dtype=torch.float64).clamp_min(0))


def test_no_photons_of_black():
    assert torch.equal(Corruption("shot_noise", 5)(0 * GREY), 0 * GREY)


def test_impulse_noise_turns_the_published_share_into_black_and_white():
    found = Corruption("impulse_noise", 4, "imagenet_c")(GREY, ids=IDS)
    assert set(found.unique().tolist()) == {0.0, 0.5, 1.0}
    assert (found != 0.5).float().mean().item() == pytest.approx(0.17, abs=0.01)
    assert (found == 1).float().mean().item() == pytest.approx(0.085, abs=0.006)
    assert not torch.equal(found[:, 0], found[:, 1])  # each channel on its own
