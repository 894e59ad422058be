import pytest
import torch
from torch.nn import functional

from robustpeft.auditing.specimens import honest_forms as forms


@pytest.mark.parametrize("name", ["undefended", "batch_norm_in_eval", "layer_scale", "checkpointed"])
def test_some_answer_exactly_as_before(model, images, slope, name):
    logits, exact = slope(model, images)
    found, gradient = slope(getattr(forms, name)(model), images)
    assert torch.allclose(found, logits, rtol=1e-4, atol=1e-4)
    assert torch.allclose(gradient, exact, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("log_probabilities", lambda z: z - z.exp().sum(1, keepdim=True).log()),
        ("centred_logits", lambda z: z - z.max(1, keepdim=True).values),
        ("cooled", lambda z: z / 20),
        ("warmed", lambda z: z * 3),
    ],
)
def test_some_change_their_logits_but_no_class(model, images, name, change):
    found = getattr(forms, name)(model)(images)
    assert torch.allclose(found, change(model(images)), atol=1e-5)
    assert torch.equal(found.argmax(1), model(images).argmax(1))


def test_batch_norm_keeps_to_its_statistics(model, images):
    honest = forms.batch_norm_in_eval(model)
    statistics = {key: value.clone() for key, value in honest.before.state_dict().items()}
    honest(images)
    assert not honest.before.training
    assert all(torch.equal(value, statistics[key]) for key, value in honest.before.state_dict().items())
    assert statistics["running_mean"].std() > 0


def test_a_layer_scale_is_small_and_its_weights_large(model):
    layer = forms.layer_scale(model).head
    assert torch.allclose(layer.gamma, torch.full((10,), 1e-3))
    assert torch.allclose(layer.weight, 1000 * model.head.weight)


@pytest.mark.parametrize(("name", "kind"), [("half_precision", torch.bfloat16), ("autocast", torch.float32)])
def test_bfloat16_is_coarse_and_near(model, images, name, kind):
    honest = getattr(forms, name)(model)
    assert honest(images).dtype == kind
    assert torch.allclose(honest(images).float(), model(images), atol=0.05)
    assert not torch.equal(honest(images).float(), model(images))
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_the_smooth_one_sees_half_a_blur(model, images):
    sharp = torch.zeros(1, 3, 8, 8)
    sharp[..., 4, 4] = 1
    seen = forms.smooth(model).before(sharp)[0, 0]
    assert seen[4, 4].item() == pytest.approx(0.5 + 0.5 / 9)
    assert seen[3, 5].item() == pytest.approx(0.5 / 9)
    assert seen.sum().item() == pytest.approx(1)
    honest = forms.smooth(model)
    assert torch.allclose(honest(images), 0.5 * model(honest.before(images)))


def test_the_border_is_not_seen(model, images, slope):
    inside = functional.pad(torch.ones(6, 6), (1, 1, 1, 1))
    honest = forms.cropped(model)
    assert torch.equal(honest(images), model(images * inside))
    assert not slope(honest, images)[1][..., inside == 0].any()


def test_the_adapter_is_in_force(model, images):
    honest = forms.with_adapter(model)
    assert not torch.allclose(honest(images), model(images), atol=1e-3)
    assert torch.allclose(honest.attack_view()(images), honest(images), atol=1e-5)
