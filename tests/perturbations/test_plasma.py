import numpy as np
import pytest
import torch

from robustpeft.perturbations.plasma import plasma
from robustpeft.types import Noise


def noise(*ids):
    return Noise(0, torch.tensor(ids), "clouds")


def reference(draws, side, decay):
    """Diamond-square point by point; `draws(level, part)` gives the numbers in [-1, 1)."""
    heights, stride, amplitude, level = np.zeros((side, side)), side, 100.0, 0
    while stride >= 2:
        half = stride // 2
        old = heights.copy()
        for part, (down, right) in enumerate([(half, half), (0, half), (half, 0)]):
            jitter = draws(level, part, side // stride) * amplitude**2
            for i in range(side // stride):
                for j in range(side // stride):
                    r, c = i * stride + down, j * stride + right
                    around = [(-half, -half), (-half, half), (half, -half), (half, half)]
                    if part:
                        around = [(-half, 0), (half, 0), (0, -half), (0, half)]
                    source = heights if part else old
                    mean = np.mean([source[(r + a) % side, (c + b) % side] for a, b in around])
                    heights[r, c] = mean + jitter[i, j]
        stride, amplitude, level = half, amplitude / decay, level + 1
    heights -= heights.min()
    return heights / heights.max()


@pytest.mark.parametrize("decay", [1.5, 3.0])
def test_it_is_the_diamond_square_algorithm(decay):
    chance = noise(5)

    def draws(level, part, cells):
        return 2 * chance.uniform((cells, cells), purpose=2000 + 3 * level + part)[0].double().numpy() - 1

    found = plasma(chance, 16, 16, decay, purpose=2)[0]
    np.testing.assert_allclose(found, reference(draws, 16, decay), atol=1e-9)


def test_heights_fill_the_unit_interval_and_a_part_is_a_corner():
    whole = plasma(noise(1, 2), 32, 32, 2.0)
    assert torch.equal(whole.amin(dim=(1, 2)), torch.zeros(2, dtype=torch.float64))
    assert torch.equal(whole.amax(dim=(1, 2)), torch.ones(2, dtype=torch.float64))
    assert torch.equal(plasma(noise(1, 2), 20, 17, 2.0), whole[:, :20, :17])
    assert torch.equal(plasma(noise(2), 32, 32, 2.0), whole[1:])


def test_more_decay_is_smoother():
    rough, smooth = (plasma(noise(3), 32, 32, decay).diff(dim=1).abs().mean() for decay in (1.4, 3.0))
    assert smooth < 0.5 * rough
