from types import SimpleNamespace

import pytest
import torch
from torch import nn

from robustpeft.attacks import PGD, AutoAttack, Square
from robustpeft.attacks.subject import (
    check_gradients,
    check_same_answers,
    default_slots,
    device_of,
    in_its_precision,
    model_digest,
)
from robustpeft.errors import UserError


def test_a_digest_tells_kinds_names_shapes_types_and_values_apart():
    def build(*layers):
        torch.manual_seed(0)
        return nn.Sequential(*layers)

    torch.manual_seed(0)
    one = nn.Linear(2, 3)
    kinds = [one, nn.Sequential(one), nn.Linear(3, 2), nn.Linear(2, 3).half(), nn.BatchNorm2d(3)]
    kinds += [nn.Identity(), nn.Flatten()]  # which have no tensors
    changed = nn.Linear(2, 3)
    changed.load_state_dict(one.state_dict())
    assert model_digest(changed) == model_digest(one)
    changed.weight.data[0, 0] = torch.nextafter(changed.weight.data[0, 0], torch.tensor(9.0))
    assert len({model_digest(model) for model in [*kinds, changed]}) == len(kinds) + 1
    assert model_digest(lambda images: images) == "unknown"


@pytest.mark.parametrize(
    ("size", "slots"),
    [((8, 8), 64), ((16, 16), 64), ((20, 20), 40), ((32, 32), 16), ((16, 32), 32), ((32, 16), 32), ((112, 112), 8)],
)
def test_a_cpu_has_few_slots_the_fewer_the_larger_the_images(size, slots):
    found = default_slots(torch.zeros(1, 3, *size))
    assert (found, type(found)) == (slots, int)


@pytest.mark.parametrize(("size", "slots"), [((32, 32), 256), ((512, 512), 256), ((1024, 1024), 64), ((8192, 8192), 8)])
def test_a_gpu_has_many(size, slots):
    assert default_slots(SimpleNamespace(shape=(1, 3, *size), is_cuda=True)) == slots


def test_a_model_lies_where_its_first_parameter_does():
    assert device_of(nn.Linear(1, 1, device="meta")).type == "meta"
    assert device_of(nn.Identity()).type == device_of(lambda images: images).type == "cpu"


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_images_are_rounded_for_a_model_that_is_all_in_one_half_precision(kind):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).to(kind)
    narrow = kind in (torch.float16, torch.bfloat16)
    images = torch.rand(1, 3, 2, 2, requires_grad=True)
    seen = in_its_precision(model, lambda given: given)(images)
    assert seen.dtype == (kind if narrow else torch.float32)
    seen.sum().backward()
    assert images.grad.dtype == torch.float32
    mixed = nn.Sequential(nn.Linear(2, 2).to(kind), nn.Linear(2, 2))
    assert in_its_precision(mixed, lambda given: given)(images) is images
    assert in_its_precision(lambda given: given, lambda given: given)(images) is images


def test_answers_may_differ_by_rounding_but_not_by_more():
    before = torch.tensor([[5.0, -10.0, 0.0]])
    check_same_answers(before, lambda: before + 0.05)
    with pytest.raises(UserError, match="answers otherwise than when this ledger was begun"):
        check_same_answers(before, lambda: before + 0.2)
    with pytest.raises(UserError, match="answers otherwise"):
        check_same_answers(before, lambda: before[:, :2])
    answers = iter([before + 1, before + 2])
    check_same_answers(before, lambda: next(answers))  # at random: nothing can be said


class Oracle(nn.Module):
    black_box = True

    def forward(self, images):
        return images.flatten(1)[:, :3].detach()


def test_attacks_along_gradients_are_refused_for_what_gives_none():
    check_gradients(nn.Flatten(), [PGD(), AutoAttack()], 3)
    check_gradients(nn.Sequential(Oracle()), [Square()], 3)
    with pytest.raises(UserError, match=r"^PGD needs gradients, and this model gives none.*square"):
        check_gradients(nn.Sequential(Oracle()), [Square(), PGD()], 3)
    with pytest.raises(UserError, match=r"^APGD, FAB need gradients"):
        check_gradients(Oracle(), [AutoAttack()], 3)
