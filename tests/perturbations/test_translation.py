import pytest
import torch

from robustpeft.errors import UserError
from robustpeft.perturbations import Translation
from robustpeft.perturbations.translation import translated


def test_pixels_move_down_and_right_and_black_moves_in():
    image = torch.arange(1.0, 13.0).reshape(1, 1, 3, 4).expand(1, 3, 3, 4)
    found = translated(image, torch.tensor([[1, -2]]))[0, 0]
    assert found.tolist() == [[0, 0, 0, 0], [3, 4, 0, 0], [7, 8, 0, 0]]
    assert translated(image, torch.tensor([[5, 0]])).abs().sum() == 0


def test_moves_fill_the_interval_of_each_side():
    image = torch.zeros(200, 3, 21, 41)
    image[:, :, 10, 20] = 1
    found = Translation(0.2)(image, ids=torch.arange(200))[:, 0]
    places = found.flatten(1).argmax(dim=1)
    rows, columns = places // 41 - 10, places % 41 - 20
    assert (rows.min().item(), rows.max().item()) == (-4, 4)
    assert (columns.min().item(), columns.max().item()) == (-8, 8)
    assert torch.corrcoef(torch.stack([rows.float(), columns.float()]))[0, 1].abs() < 0.2


@pytest.mark.parametrize(("ratio", "hint"), [(10, r" \(did you mean 0.1\?\)"), (-1, "$")])
def test_a_move_beyond_the_image_is_refused(ratio, hint):
    with pytest.raises(UserError, match=rf"ratio must be a share of the side in \[0, 1\]; got {ratio}{hint}"):
        Translation(ratio)
