import torch

from robustpeft.auditing.specimens.batch import batch_statistics, mixed_with_neighbour


def test_each_row_gets_its_share_of_the_batch(model, images):
    logits = model(images)
    assert torch.allclose(batch_statistics(model)(images), logits - logits.sum(0) / 12, atol=1e-6)
    before = torch.stack([logits[i - 1] for i in range(6)])
    assert torch.allclose(mixed_with_neighbour(model)(images), logits + 0.2 * before, atol=1e-6)
