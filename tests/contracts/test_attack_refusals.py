"""Every entry of ATTACKS refuses what it cannot attack, in words, instead of looking like robustness."""

import pytest
import torch
from torch import nn

from robustpeft.attacks import ATTACKS
from robustpeft.types import L2, Linf, UserError


class Model(nn.Module):
    """Four classes, not linear; `how` spoils the logits."""

    def __init__(self, how=None):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 108, generator=torch.Generator().manual_seed(3)))
        self.how = how

    def forward(self, images):
        logits = images.flatten(1).square() @ self.weight.T
        return logits if self.how is None else self.how(logits)


def uses_gradients(attack):
    return any(stage.course(4).gradients for stage in attack.stages(4))


@pytest.fixture(params=sorted(ATTACKS))
def attack(request, build):
    return build(request.param)


@pytest.fixture(params=[Linf(8 / 255), L2(0.5)], ids=str)
def threat(request):
    return request.param


@pytest.fixture(scope="module")
def images():
    images = torch.rand(6, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    images[0, 0, 0, 0], images[1, 0, 0, 0] = 0.0, 1.0
    return images


@pytest.fixture(scope="module")
def labels():
    return torch.tensor([0, 1, 2, 3, 0, 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x * 255, y), r"found \[0, 255\] \(they look like 8-bit values: divide by 255\)"),
        (
            lambda x, y: (x * 4 - 2, y),
            "they look normalised: give them unnormalised; normalisation is inside the model",
        ),
        (lambda x, y: (x.clone().fill_(torch.nan), y), "some values are not numbers"),
        (lambda x, y: ((x * 255).byte(), y), "floating point"),
        (lambda x, y: (x[:, :1], y), r"shape \(batch, 3, height, width\)"),
        (lambda x, y: (x, y + 1), r"labels must be in \[0, 4\); found 1 to 4"),
        (lambda x, y: (x, y - 1), "labels must be at least 0; found -1 to 2"),
        (lambda x, y: (x, y[:2]), "6 images came with 2 labels"),
        (lambda x, y: (x, y.float()), "labels must be integers"),
    ],
)
def test_what_cannot_be_attacked_is_refused(attack, threat, images, labels, change, message):
    with pytest.raises(UserError, match=message):
        attack(Model(), *change(images, labels), threat)


@pytest.mark.parametrize("ids", [torch.arange(5), torch.arange(1), torch.arange(6.0), torch.zeros(6, 1).long()])
def test_ids_that_do_not_name_every_image_are_refused(attack, threat, images, labels, ids):
    with pytest.raises(UserError, match=r"ids must be integers of shape \(6,\)"):
        attack(Model(), images, labels, threat, ids=ids)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda z: z / 0 * 0, "logits that are not finite"),
        (lambda z: (z, z), r"logits \(batch, classes\); got tuple"),
        (lambda z: z[:1], r"logits \(batch, classes\); got \(1, 4\)"),
        (lambda z: z[0], r"logits \(batch, classes\); got \(4,\)"),
    ],
)
def test_a_model_on_which_an_attack_would_mean_nothing_is_refused(attack, threat, images, labels, how, message):
    with pytest.raises(UserError, match=message):
        attack(Model(how), images, labels, threat)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda z: z.detach(), "carry no gradient back to the images"),
        (lambda z: torch.zeros_like(z, requires_grad=True), "carry no gradient back to the images"),
        (lambda z: z + (z - z.detach()).sqrt() * (z - z.detach()), "the gradient at the images is not finite"),
    ],
)
@pytest.mark.parametrize("name", [name for name in sorted(ATTACKS) if uses_gradients(ATTACKS[name]())])
def test_a_model_without_gradients_is_refused_where_they_are_needed(name, build, threat, images, labels, how, message):
    with pytest.raises(UserError, match=message):
        build(name)(Model(how), images, labels, threat)
