import pytest
import timm
import torch
from torch.nn import functional as F

from robustpeft.backbones import ImageClassifier, Normalize, find_seams
from robustpeft.objectives import ARDPRM, Smoothing
from robustpeft.objectives.attention_gates import AttentionGates
from robustpeft.objectives.masked_pgd import MaskedPGD
from robustpeft.types import Linf, UserError

THREAT = Linf(0.1)
LABELS = torch.tensor([0, 1, 2])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    network = timm.create_model(
        "vit_tiny_patch16_224", num_classes=3, img_size=8, patch_size=4, embed_dim=16, depth=2, num_heads=2
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return ImageClassifier(network, Normalize((0.5,) * 3, (0.5,) * 3), seams=find_seams(network)).eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def objective(**kinds):
    return ARDPRM(**{"steps": 3, "step_size": 0.03, "patch_size": 4} | kinds)


def test_while_it_warms_up_the_adversary_is_weaker_by_what_is_left(model, images):
    # a tenth of all steps is 40 % of the warm-up
    lesson = objective().lesson(model, images, LABELS, THREAT, seed=5, progress=0.1)
    gates = AttentionGates(model.attack_view(), 0.4, seed=5)
    wanted = MaskedPGD(3, 0.03, 0.6, 4)(gates, images, LABELS, THREAT, seed=5)
    torch.testing.assert_close(lesson.attacked, wanted)


@pytest.mark.parametrize("progress", [0.25, 0.7, 1.0])
def test_after_the_warm_up_it_is_pgd(model, images, progress):
    lesson = objective().lesson(model, images, LABELS, THREAT, seed=5, progress=progress)
    assert torch.equal(lesson.attacked, MaskedPGD(3, 0.03, 0.0, 4)(model, images, LABELS, THREAT, seed=5))
    loss = objective()(model, images, LABELS, THREAT, seed=5, progress=progress)
    assert torch.equal(loss.total, F.cross_entropy(model(lesson.attacked), LABELS))


def test_without_a_warm_up_it_is_pgd_from_the_start(model, images):
    lesson = objective(warmup=0.0).lesson(model, images, LABELS, THREAT, seed=5, progress=0.0)
    assert torch.equal(lesson.attacked, MaskedPGD(3, 0.03, 0.0, 4)(model, images, LABELS, THREAT, seed=5))


def test_each_half_can_be_had_alone(model, images):
    patches = objective(attention=False).lesson(model, images, LABELS, THREAT, seed=5, progress=0.1).attacked
    assert torch.equal(patches, MaskedPGD(3, 0.03, 0.6, 4)(model, images, LABELS, THREAT, seed=5))
    attention = objective(patches=False).lesson(model, images, LABELS, THREAT, seed=5, progress=0.1).attacked
    gates = AttentionGates(model.attack_view(), 0.4, seed=5)
    torch.testing.assert_close(attention, MaskedPGD(3, 0.03, 0.0, 4)(gates, images, LABELS, THREAT, seed=5))


def test_smoothed_labels_are_attacked_as_such(model, images):
    soft = Smoothing(objective(), 0.9).lesson(model, images, LABELS, THREAT, progress=0.1)
    assert not torch.equal(soft.attacked, objective().lesson(model, images, LABELS, THREAT, progress=0.1).attacked)


def test_a_model_of_unknown_attention_is_refused_while_it_matters(images):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3))
    with pytest.raises(UserError, match="set attention=False"):
        objective()(model, images, LABELS, THREAT, progress=0.1)
    assert objective(attention=False)(model, images, LABELS, THREAT, progress=0.1).total > 0
    for progress in (0.25, 0.3, 1.0):  # the warm-up is over
        assert objective()(model, images, LABELS, THREAT, progress=progress).total > 0
    assert objective(warmup=0.0)(model, images, LABELS, THREAT, progress=0.0).total > 0
    assert objective()(model, images, LABELS, Linf(0.0), progress=0.1).total > 0  # nobody attacks


def test_patches_that_do_not_tile_the_image_are_refused(model, images):
    with pytest.raises(UserError, match="patch_size must divide"):
        objective(patch_size=3)(model, images, LABELS, THREAT, progress=0.1)


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ({"steps": 0}, "steps and patch_size must be at least 1"),
        ({"patch_size": 0}, "steps and patch_size must be at least 1"),
        ({"step_size": 0.0}, "step_size must be positive and finite"),
        ({"step_size": float("inf")}, "step_size must be positive and finite"),
        ({"warmup": -0.1}, r"warmup must be a share in \[0, 1\]"),
        ({"warmup": 1.5}, r"warmup must be a share in \[0, 1\]"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(kinds, message):
    with pytest.raises(UserError, match=message):
        ARDPRM(**kinds)


def test_the_defaults_are_those_of_the_paper():
    assert ARDPRM() == ARDPRM(steps=10, step_size=None, warmup=10 / 40, attention=True, patches=True, patch_size=16)


@pytest.mark.parametrize(("progress", "forgotten"), [(0.0, 4), (0.25, 3), (0.5, 2), (0.75, 1), (1.0, 0)])
def test_a_warm_up_may_take_all_of_tuning(model, images, monkeypatch, progress, forgotten):
    asked = []
    monkeypatch.setattr(MaskedPGD, "update", lambda attack, target, state, reply: asked.append(state.points) or state)
    objective(warmup=1.0, steps=1, attention=False).lesson(model, images, LABELS, THREAT, progress=progress)
    patches = (asked[0] == images).all(1).reshape(3, 2, 4, 2, 4).all(4).all(2)
    assert patches.flatten(1).sum(1).tolist() == [forgotten] * 3


def test_one_step_and_patches_of_one_pixel_are_the_least(model, images):
    least = objective(steps=1, patch_size=1)
    lesson = least.lesson(model, images, LABELS, THREAT, seed=5, progress=1.0)
    assert torch.equal(lesson.attacked, MaskedPGD(1, 0.03, 0.0, 1)(model, images, LABELS, THREAT, seed=5))
