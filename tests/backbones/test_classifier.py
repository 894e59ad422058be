from types import SimpleNamespace

import pytest
import timm
import torch
from torch import nn

from robustpeft.backbones import FAMILIES, ImageClassifier, Normalize, find_seams, wrap
from robustpeft.backbones.classifier import image_size_of
from robustpeft.types import Attackable, UserError

SIZES = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 2}


@pytest.fixture
def model():
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", num_classes=4, **SIZES)
    return ImageClassifier(
        network, Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)), num_classes=4, seams=find_seams(network)
    ).eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_normalisation_happens_inside(model, images):
    mean, std = torch.tensor([0.4, 0.5, 0.6]).reshape(1, 3, 1, 1), torch.tensor([0.2, 0.3, 0.4]).reshape(1, 3, 1, 1)
    assert torch.equal(model(images), model.network((images - mean) / std))


def test_features_are_what_the_head_reads(model, images):
    features = model.features(images)
    assert features.shape == (3, 24)
    torch.testing.assert_close(model.network.head(features), model(images))


def test_a_network_without_a_named_embedding_has_no_features(images):
    with pytest.raises(UserError, match="Flatten has no forward_features and forward_head"):
        wrap(nn.Flatten()).features(images)


def test_it_is_attackable_and_its_view_is_frozen_and_answers_alike(model, images):
    assert isinstance(model, Attackable)
    model.train()
    view = model.attack_view()
    assert not view.training
    assert not any(p.requires_grad for p in view.parameters())
    assert torch.equal(view(images), model.eval()(images))


def test_with_nothing_attached_disabled_changes_nothing(model, images):
    before = model(images)
    with model.disabled():
        assert torch.equal(model(images), before)
    assert model.frozen_state().keys() == model.network.state_dict().keys()


class TestDigest:
    def test_it_is_a_sha256_that_every_frozen_tensor_changes_and_the_head_does_not(self, model):
        digest = model.digest()
        assert len(digest) == 64
        assert digest == model.digest()
        for name, tensor in model.network.state_dict().items():
            before = tensor.clone()
            tensor.view(-1)[0] += 1.0
            assert (model.digest() == digest) == name.startswith("head."), name
            tensor.copy_(before)
        model.network.head = nn.Linear(24, 9)
        assert model.digest() == digest

    def test_it_sees_shape_type_and_name(self):
        def digest(**tensors):
            module = nn.Module()
            for name, tensor in tensors.items():
                module.register_buffer(name, tensor)
            return wrap(module).digest()

        zeros = torch.zeros(4)
        others = [
            digest(a=zeros.reshape(2, 2)),
            digest(a=zeros.half()),
            digest(b=zeros),
            digest(a=zeros.int()),
            digest(a=zeros, b=zeros),
        ]
        assert len({digest(a=zeros), *others}) == 6
        assert digest(a=torch.ones(3, 2).t()) == digest(a=torch.ones(2, 3))
        assert digest(a=torch.tensor(1.0), b=torch.zeros(0)) == digest(b=torch.zeros(0), a=torch.tensor(1.0))

    def test_without_known_seams_the_head_counts_too(self):
        one, other = nn.Sequential(), nn.Sequential()
        one.head, other.head = nn.Linear(2, 2), nn.Linear(2, 2)
        assert wrap(one).digest() != wrap(other).digest()


class TestWrap:
    def test_a_module_of_ones_own_takes_images_in_0_1_and_is_not_changed(self, images):
        module = nn.Sequential(nn.Flatten(), nn.Linear(768, 2)).eval()
        model = wrap(module, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), num_classes=2)
        assert model.network is module
        assert (model.name, model.num_classes, model.seams) == ("Sequential", 2, None)
        torch.testing.assert_close(model(images), module((images - 0.5) / 0.25))
        assert not module.training

    def test_by_default_it_is_given_the_images_as_they_are(self, images):
        assert torch.equal(wrap(nn.Flatten())(images), images.flatten(1))

    def test_it_can_be_given_a_name(self):
        assert wrap(nn.Flatten(), name="mine").name == "mine"

    def test_twice_is_refused(self, model):
        with pytest.raises(UserError, match="already takes images in"):
            wrap(model)

    @pytest.mark.parametrize("module", ["vit", lambda images: images, None])
    def test_what_is_no_module_is_refused(self, module):
        with pytest.raises(UserError, match="wrap takes a torch module; got"):
            wrap(module)

    def test_what_needs_seams_says_what_can_be_done_without(self):
        with pytest.raises(UserError, match=r"Flatten belongs to no family.*'full'.*rp\.load_backbone") as refusal:
            wrap(nn.Flatten()).require_seams()
        assert all(family.covers in str(refusal.value) for family in FAMILIES.values())

    def test_a_network_of_a_known_family_has_its_seams_its_classes_and_its_size(self, model, images):
        wrapped = wrap(model.network)
        assert wrapped.require_seams() == model.seams
        assert (wrapped.num_classes, wrapped.image_size) == (4, (16, 16))
        assert wrapped.digest() == model.digest()
        assert wrap(model.network, num_classes=9).num_classes == 9
        headless = timm.create_model("vit_tiny_patch16_224", **(SIZES | {"num_classes": 0}))
        assert wrap(headless).num_classes is None

    def test_of_any_other_network_nothing_is_guessed(self):
        module = nn.Flatten()
        module.config = SimpleNamespace(image_size=8)
        assert wrap(module).image_size is None
        assert wrap(module).num_classes is None

    def test_logits_may_be_one_of_the_things_that_the_network_returns(self, images):
        class Answers(nn.Module):
            def forward(self, pixel_values):
                return SimpleNamespace(logits=pixel_values.flatten(1), loss=None)

        assert torch.equal(wrap(Answers())(images), images.flatten(1))
        assert torch.equal(wrap(Answers()).attack_view()(images), images.flatten(1))


def test_the_image_size_is_what_the_network_says():
    def network(**attributes):
        module = nn.Module()
        for name, value in attributes.items():
            setattr(module, name, value)
        return module

    assert image_size_of(network()) is None
    assert image_size_of(network(patch_embed=SimpleNamespace(img_size=(16, 24)))) == (16, 24)
    assert image_size_of(network(patch_embed=SimpleNamespace(img_size=None))) is None
    assert image_size_of(network(config=SimpleNamespace(image_size=32))) == (32, 32)
    assert image_size_of(network(config=SimpleNamespace(image_size=[32, 48]))) == (32, 48)


def test_chosen_outputs_come_in_the_order_in_which_they_were_chosen():
    model = wrap(nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), num_classes=5)
    images = torch.rand(2, 3, 2, 2)
    before = model(images)
    model.select([4, 0])
    assert torch.equal(model(images), before[:, [4, 0]])
    assert torch.equal(model.attack_view()(images), before[:, [4, 0]])
    assert model.num_classes == 2
