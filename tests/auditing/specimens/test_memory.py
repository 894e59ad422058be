import torch

from robustpeft.auditing.specimens import memory


def test_the_counter_has_a_period_of_five(model, images):
    broken, logits = memory.call_counter(model), model(images)
    shifted = torch.cat([logits[:, -1:], logits[:, :-1]], dim=1)
    for call in range(7):
        assert torch.allclose(broken(images), logits + 0.1 * (call % 5) * shifted, atol=1e-6)


def test_the_limit_counts_images(model, images):
    broken, logits = memory.query_limit(model), model(images)
    many = images[:1].expand(1997, -1, -1, -1)
    assert torch.allclose(broken(many), logits[:1].expand(1997, -1), atol=1e-6)
    answered = broken(images)
    assert torch.equal(answered[:3], logits[:3])
    assert not answered[3:].any()
    assert not broken(images).any()


def test_a_neighbour_gets_the_old_answer_and_a_stranger_his_own(model, images):
    broken = memory.query_memory(model)
    logits = broken(images)
    assert torch.equal(logits, model(images))
    near, far = (images + 0.2).clamp(0, 1), images.flip(0) * 0 + torch.linspace(0, 1, 8)
    assert torch.equal(broken(near), logits)
    assert not torch.equal(model(near), logits)
    assert torch.allclose(broken(far), model(far), atol=1e-6)
    assert len(broken.images) == 12  # neighbours are not remembered, equal strangers of one batch are
    assert not broken(near.requires_grad_()).requires_grad or not torch.autograd.grad(broken(near).sum(), near)[0].any()


def test_only_so_much_is_remembered(model):
    broken = memory.query_memory(model)
    with torch.no_grad():
        for start in range(3):
            broken(torch.rand(512, 3, 8, 8, generator=torch.Generator().manual_seed(start)))
    assert len(broken.images) == len(broken.answers) == 1024
    first = torch.rand(512, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(broken.images[:512], first.flatten(1))


def test_the_mean_moves_in_eval_mode(model, images):
    broken, logits = memory.moving_statistics(model).eval(), model(images)
    mean = logits.mean(0)
    assert torch.allclose(broken(images), logits - 0.1 * mean, atol=1e-6)
    assert torch.allclose(broken(images), logits - 0.19 * mean, atol=1e-6)
    assert torch.allclose(broken.state_dict()["after.mean"], 0.19 * mean, atol=1e-6)
