import contextlib

import pytest
import torch
from torch import nn

from robustpeft.attacks import PGD
from robustpeft.objectives import AWP, FARE, Smoothing
from robustpeft.types import Linf, UserError, frozen_twin


class Embedder(nn.Module):
    """A frozen body with an adapter beside it, and a head; only what the protocols ask for."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.body = nn.Linear(48, 8).requires_grad_(False)
        self.adapter = nn.Linear(48, 8)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8, 3)
        self.enabled = True

    def features(self, images):
        flat = images.flatten(1)
        added = self.adapter(flat) if self.enabled else 0.0
        return self.dropout(torch.tanh(self.body(flat) + added))

    def forward(self, images):
        return self.head(self.features(images))

    def attack_view(self):
        return frozen_twin(self)

    @contextlib.contextmanager
    def disabled(self):
        self.enabled = False
        try:
            yield
        finally:
            self.enabled = True


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Embedder().eval()


def objective(**kinds):
    return FARE(PGD(steps=3, step_size=0.04, keep="last", loss="margin", **kinds))


def trained(model):
    return nn.ModuleList([model.adapter])


def test_it_equals_a_direct_transcription_of_the_paper(model, images, labels, ascend, same_gradients):
    frozen = torch.tanh(model.body(images.flatten(1)))
    x = ascend(images, lambda x: (model.features(x) - frozen).square().sum(1), 0.1, 3, 0.04, 5)
    wanted = (model.features(x) - frozen).square().sum(1).mean()
    loss = objective()(model, images, labels, Linf(0.1), seed=5)
    same_gradients(trained(model), loss.total, wanted)
    assert loss.parts == {"squared_distance": loss.total.detach()}


def test_labels_do_not_matter(model, images, labels):
    losses = [objective()(model, images, y, Linf(0.1)).total for y in (labels, labels.roll(1))]
    assert torch.equal(*losses)


def test_the_head_receives_no_gradient(model, images, labels):
    objective()(model, images, labels, Linf(0.1)).total.backward()
    assert model.head.weight.grad is None
    assert model.adapter.weight.grad.abs().sum() > 0


def test_at_epsilon_0_it_is_the_distance_of_the_clean_embeddings(model, images, labels):
    flat = images.flatten(1)
    wanted = (torch.tanh(model.body(flat) + model.adapter(flat)) - torch.tanh(model.body(flat))).square().sum(1).mean()
    torch.testing.assert_close(objective()(model, images, labels, Linf(0.0)).total, wanted)
    nn.init.zeros_(model.adapter.weight)
    nn.init.zeros_(model.adapter.bias)
    assert objective()(model, images, labels, Linf(0.0)).total == 0


def test_from_the_identity_a_random_start_finds_a_distance(model, images, labels):
    nn.init.zeros_(model.adapter.weight)
    nn.init.zeros_(model.adapter.bias)
    assert objective()(model, images, labels, Linf(0.1)).total > 0.01


def test_the_frozen_embedding_is_taken_in_eval_mode(images, labels):
    torch.manual_seed(0)
    model = Embedder(dropout=0.5).train()
    reference = objective().lesson(model, images, labels, Linf(0.1)).reference
    torch.testing.assert_close(reference, torch.tanh(model.body(images.flatten(1))))
    assert not reference.requires_grad
    assert model.training
    assert model.enabled


def test_embeddings_are_those_of_real_models(images):
    import timm

    from robustpeft.backbones import ImageClassifier, Normalize, find_seams
    from robustpeft.pet import Full

    torch.manual_seed(0)
    network = timm.create_model(
        "vit_tiny_patch16_224", num_classes=3, img_size=4, patch_size=2, embed_dim=16, depth=1, num_heads=2
    )
    model = ImageClassifier(network, Normalize((0.5,) * 3, (0.5,) * 3), seams=find_seams(network)).eval()
    before = model.features(images).detach()
    handle = Full().attach(model)
    with torch.no_grad():
        for parameter in handle.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    lesson = FARE().lesson(model, images, torch.zeros(4, dtype=torch.int64), Linf(0.1))
    torch.testing.assert_close(lesson.reference, before)
    found = (model.features(lesson.attacked) - before).square().sum(1)
    assert (found > (model.features(images) - before).square().sum(1)).all()


def test_its_weights_can_be_perturbed_adversarially(model, images, labels):
    plain = objective()(model, images, labels, Linf(0.1)).total
    assert AWP(objective(), gamma=0.1)(model, images, labels, Linf(0.1)).total > plain
    assert torch.equal(AWP(objective(), gamma=0.0)(model, images, labels, Linf(0.1)).total, plain)


def test_a_model_that_cannot_show_its_frozen_self_is_refused(images, labels):
    with pytest.raises(UserError, match=r"before anything was attached; Sequential cannot show it"):
        FARE()(nn.Sequential(nn.Flatten(), nn.Linear(48, 3)), images, labels, Linf(0.1))


def test_a_view_without_features_is_refused(model, images, labels):
    model.attack_view = lambda: lambda points: points
    with pytest.raises(UserError, match="fare needs a model with features"):
        FARE()(model, images, labels, Linf(0.1))


def test_smoothed_labels_would_change_nothing_and_are_refused(model, images, labels):
    with pytest.raises(UserError, match="fare needs one class per image"):
        Smoothing(FARE())(model, images, labels, Linf(0.1))
