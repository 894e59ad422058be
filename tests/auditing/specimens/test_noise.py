import torch

from robustpeft.auditing.specimens import noise


def test_noise_on_logits_has_the_share_of_their_spread(model, images):
    broken = noise.noisy_logits(model)
    drawn = torch.stack([broken(images[:1]) for _ in range(300)]) - model(images[:1])
    expected = 0.05 * model(images[:1]).std()
    assert abs(drawn.std() / expected - 1) < 0.1
    assert abs(drawn.mean()) < 0.2 * expected


def test_noise_of_its_own_is_not_repeated_by_the_global_seed_nor_moves_it(model, images):
    broken = noise.noisy_inputs(model)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = broken(images)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(0)
    assert not torch.equal(broken(images), first)
    noisy = torch.stack([broken.before(images) - images for _ in range(20)])
    assert abs(noisy.std() - 0.05) < 0.005


def test_padding_keeps_size_and_takes_every_place(model):
    torch.manual_seed(0)
    white = torch.ones(1, 3, 8, 8)
    drawn = [noise.random_padding(model).before(white)[0, 0] for _ in range(200)]
    seen = {tuple(image.nonzero().amin(dim=0).tolist()) for image in drawn}
    assert seen == {(top, left) for top in range(3) for left in range(3)}
    assert {int((image > 0).sum()) for image in drawn} == {36, 49, 64}
