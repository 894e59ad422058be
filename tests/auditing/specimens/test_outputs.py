import torch

from robustpeft.auditing.specimens.outputs import distilled, probabilities, scaled_logits


def test_logits_are_scaled_and_probabilities_are_probabilities(model, images):
    logits = model(images)
    assert torch.allclose(scaled_logits(model)(images), 10_000 * logits)
    assert torch.allclose(distilled(model)(images), 100 * logits)
    shares = logits.exp() / logits.exp().sum(1, keepdim=True)
    assert torch.allclose(probabilities(model)(images), shares, atol=1e-6)
