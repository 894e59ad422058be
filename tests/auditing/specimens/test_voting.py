import torch

from robustpeft.auditing.specimens.voting import soft_ensemble, voting


def views(images):
    return [images.roll(s, dims=(2, 3)) for s in ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))]


def test_votes_are_counted(model, images):
    with torch.no_grad():
        model.head.weight.mul_(20)
    counts = torch.zeros(6, 10)
    for view in views(images):
        for row, winner in enumerate(model(view).argmax(1).tolist()):
            counts[row, winner] += 1
    assert torch.allclose(voting(model)(images), counts / 5)
    assert not voting(model)(images).requires_grad


def test_the_soft_one_averages_probabilities(model, images):
    mean = torch.stack([model(view).softmax(1) for view in views(images)]).mean(0)
    assert torch.allclose(soft_ensemble(model)(images).exp(), mean, atol=1e-6)
