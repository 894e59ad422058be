"""Backbones come from names, files and the hub with the head and the sizes asked for; .npz: test_load_npz."""

import argparse
import dataclasses
import functools
import logging
import os

import pytest
import timm
import torch
from safetensors.torch import save_file

from robustpeft.backbones import BACKBONES, Backbone, ImageClassifier, load_backbone
from robustpeft.backbones.digits_vit import DIGITS_VIT
from robustpeft.types import UserError, from_plain, to_plain


@pytest.fixture
def file(source, tmp_path):
    save_file(source.network.state_dict(), tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


class TestWithoutWeights:
    def test_a_classifier_in_eval_mode_of_the_sizes_asked_for(self):
        model = load_backbone("vit_tiny_patch16_224", num_classes=3, weights=None, image_size=32, patch_size=8)
        assert isinstance(model, ImageClassifier)
        assert not model.training
        assert (model.num_classes, model.image_size, model.name) == (3, (32, 32), "vit_tiny_patch16_224")
        assert model(torch.rand(2, 3, 32, 32)).shape == (2, 3)
        assert model.features(torch.rand(2, 3, 32, 32)).shape == (2, 192)
        assert model.seams.family == "vit"
        assert model.network.patch_embed.proj.kernel_size == (8, 8)

    def test_the_seed_and_not_the_global_random_state_decides(self, images):
        torch.manual_seed(5)
        state = torch.get_rng_state()
        one = load_backbone("digits_vit", weights=None, seed=1)
        assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(6)
        assert torch.equal(load_backbone("digits_vit", weights=None, seed=1)(images), one(images))
        assert not torch.equal(load_backbone("digits_vit", weights=None, seed=2)(images), one(images))

    def test_none_and_false_are_the_same(self, images):
        one, other = (load_backbone("digits_vit", weights=weights) for weights in (None, False))
        assert torch.equal(one(images), other(images))

    def test_normalisation_is_what_the_network_says_unless_given(self):
        clip = load_backbone("vit_base_patch32_clip_224", weights=None, num_classes=2)
        said = timm.get_pretrained_cfg("vit_base_patch32_clip_224")
        torch.testing.assert_close(clip.normalize.mean.flatten(), torch.tensor(said.mean))
        torch.testing.assert_close(clip.normalize.std.flatten(), torch.tensor(said.std))
        own = load_backbone("digits_vit", weights=None, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
        torch.testing.assert_close(own.normalize.mean.flatten(), torch.tensor([0.1, 0.2, 0.3]))
        torch.testing.assert_close(own.normalize.std.flatten(), torch.tensor([0.4, 0.5, 0.6]))

    @pytest.mark.parametrize(
        ("name", "family"),
        [("eva02_tiny_patch14_224", "eva"), ("swinv2_tiny_window8_256", "swin")],
    )
    def test_queries_keys_and_values_can_be_adapted_also_where_the_network_would_pass_by_their_layer(
        self, monkeypatch, name, family
    ):
        sizes = {"embed_dim": 8, "num_heads": 2} if family == "eva" else {"embed_dim": 8, "depths": (1,)}
        build = functools.partial(
            timm.create_model, name, **sizes | ({"depth": 1} if family == "eva" else {"num_heads": (2,)})
        )
        monkeypatch.setitem(BACKBONES, "small", build)
        model = load_backbone("small", num_classes=2, weights=None)
        assert model.seams.family == family
        assert {"q", "k", "v"} <= set(model.seams.components)

    def test_a_network_of_another_kind_is_a_classifier_too_only_without_seams(self):
        model = load_backbone("resnet10t", num_classes=3, weights=None)
        assert model.seams is None
        assert model(torch.rand(1, 3, 32, 32)).shape == (1, 3)


class TestFromAFile:
    def test_the_head_and_all_else_are_kept(self, source, file, images):
        model = load_backbone("digits_vit", weights=file)
        assert model.num_classes == 7
        assert torch.equal(model(images), source(images))
        assert model.digest() == source.digest()

    def test_the_head_is_replaced_if_the_classes_say_so_from_the_seed_and_it_is_said(self, source, file, caplog):
        with caplog.at_level(logging.INFO, logger="robustpeft"):
            models = [load_backbone("digits_vit", num_classes=3, weights=file, seed=seed) for seed in (1, 1, 2)]
        heads = [model.network.head.weight for model in models]
        assert torch.equal(heads[0], heads[1])
        assert not torch.equal(heads[0], heads[2])
        assert len({model.digest() for model in models} | {source.digest()}) == 1
        assert "w.safetensors has a head of 7 classes; head starts anew with 3 classes" in caplog.messages

    def test_other_sizes_resample_kernels_and_position_embeddings(self, source, file):
        model = load_backbone("digits_vit", weights=file, image_size=32, patch_size=8)
        assert model.network.patch_embed.proj.weight.shape[-2:] == (8, 8)
        assert torch.equal(model.network.pos_embed, source.network.pos_embed)  # 4 x 4 patches, as before
        model = load_backbone("digits_vit", weights=file, image_size=32)
        assert model.network.pos_embed.shape[1] == 1 + 8 * 8
        assert model.image_size == (32, 32)

    def test_what_a_timm_checkpoint_says_of_sizes_and_normalisation_is_used_unless_given(self, source, tmp_path):
        said = argparse.Namespace(img_size=32, mean=(0.1, 0.2, 0.3), std=[0.4, 0.5, 0.6])
        torch.save({"state_dict": source.network.state_dict(), "args": said}, tmp_path / "w.pth.tar")
        model = load_backbone("digits_vit", weights=str(tmp_path / "w.pth.tar"))
        assert model.image_size == (32, 32)
        torch.testing.assert_close(model.normalize.mean.flatten(), torch.tensor([0.1, 0.2, 0.3]))
        torch.testing.assert_close(model.normalize.std.flatten(), torch.tensor([0.4, 0.5, 0.6]))
        given = load_backbone("digits_vit", weights=tmp_path / "w.pth.tar", image_size=16, mean=(0.7, 0.7, 0.7))
        assert given.image_size == (16, 16)
        torch.testing.assert_close(given.normalize.mean.flatten(), torch.tensor([0.7, 0.7, 0.7]))
        torch.testing.assert_close(given.normalize.std.flatten(), torch.tensor([0.4, 0.5, 0.6]))

    def test_a_swin_is_resampled_and_its_head_replaced_too(self, monkeypatch, tmp_path, caplog):
        sizes = {"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4, "patch_size": 4}
        monkeypatch.setitem(
            BACKBONES, "small", lambda **options: timm.create_model("swin_tiny_patch4_window7_224", **sizes | options)
        )
        source = load_backbone("small", num_classes=5, weights=None, image_size=32)
        save_file(source.network.state_dict(), tmp_path / "w.safetensors")
        same = load_backbone("small", weights=tmp_path / "w.safetensors", image_size=32)
        assert same.num_classes == 5
        assert same.digest() == source.digest()
        with caplog.at_level(logging.INFO, logger="robustpeft"):
            other = load_backbone("small", num_classes=3, weights=tmp_path / "w.safetensors", image_size=64)
        assert other.image_size == (64, 64)
        assert other(torch.rand(1, 3, 64, 64)).shape == (1, 3)
        assert "w.safetensors has a head of 5 classes; head.fc starts anew with 3 classes" in caplog.messages

    def test_both_heads_of_a_distilled_network_are_replaced(self, tmp_path):
        sizes = {"img_size": 224, "num_classes": 2}
        network = timm.create_model("deit_tiny_distilled_patch16_224", **sizes)
        save_file(network.state_dict(), tmp_path / "w.safetensors")
        model = load_backbone("deit_tiny_distilled_patch16_224", num_classes=3, weights=tmp_path / "w.safetensors")
        assert model.network.head.weight.shape[0] == model.network.head_dist.weight.shape[0] == 3

    def test_a_pickle_that_runs_something_is_refused_and_does_not_run(self, tmp_path):
        class Runs:
            def __reduce__(self):
                return (os.system, (f"touch {tmp_path}/executed",))

        torch.save({"state_dict": Runs()}, tmp_path / "w.pth")
        with pytest.raises(UserError, match=rf"was refused and nothing in it was executed: it needs {os.name}\.system"):
            load_backbone("digits_vit", weights=tmp_path / "w.pth")
        assert not (tmp_path / "executed").exists()

    def test_weights_of_another_network_are_refused_with_the_first_keys(self, file):
        message = (
            r"w\.safetensors does not fit VisionTransformer: 96 missing \(blocks\.10\.attn\.proj\.bias, .*; none unexp"
        )
        with pytest.raises(UserError, match=message):
            load_backbone("vit_tiny_patch16_224", weights=file)

    def test_a_path_may_begin_with_the_home_directory(self, file, monkeypatch):
        monkeypatch.setenv("HOME", str(file.parent))
        assert load_backbone("digits_vit", weights="~/w.safetensors").num_classes == 7


class TestFromTheHub:
    @pytest.fixture
    def hub(self, monkeypatch):
        """Let timm build what it is asked for as if it had fetched the weights."""
        create = timm.create_model
        monkeypatch.setattr(timm, "create_model", lambda name, pretrained, **options: create(name, **options))

    @pytest.mark.parametrize(
        ("name", "classes", "message"),
        [
            (
                "vit_tiny_patch16_224",
                3,
                "vit_tiny_patch16_224 has a head of 1000 classes; head starts anew with 3 classes",
            ),
            ("convit_tiny", 1000, None),
            ("vit_tiny_patch16_224", None, None),
            (
                "vit_small_patch14_dinov2",
                3,
                "vit_small_patch14_dinov2 has no head; head starts anew with 3 classes",
            ),
            (
                "deit_tiny_distilled_patch16_224",
                3,
                "deit_tiny_distilled_patch16_224 has a head of 1000 classes; head and head_dist start anew with 3 "
                "classes",
            ),
        ],
    )
    def test_a_head_that_is_replaced_is_said(self, hub, caplog, name, classes, message):
        with caplog.at_level(logging.INFO, logger="robustpeft"):
            load_backbone(name, num_classes=classes)
        assert caplog.messages == ([] if message is None else [message])

    def test_without_weights_there_is_nothing_to_say(self, hub, caplog):
        with caplog.at_level(logging.INFO, logger="robustpeft"):
            load_backbone("vit_tiny_patch16_224", num_classes=3, weights=None)
        assert caplog.messages == []


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "nearest"),
        [
            ("vit_tny_patch16_224", "vit_tiny_patch16_224"),
            ("digit_vit", "digits_vit"),
            ("VIT_TINY_PATCH16_224", "vit_tiny_patch16_224"),
        ],
    )
    def test_an_unknown_name_with_the_nearest(self, name, nearest):
        with pytest.raises(
            UserError, match=rf"unknown backbone '{name}'; did you mean '{nearest}'\? See timm\.list_models"
        ):
            load_backbone(name, weights=None)

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"num_classes": 0}, "num_classes must be at least 1; got 0"),
            ({"image_size": -16}, "image_size must be at least 1; got -16"),
            ({"patch_size": 0}, "patch_size must be at least 1; got 0"),
            ({"image_size": 18}, "images of 18 x 18 pixels are not made of whole patches of 4 x 4"),
            ({"patch_size": 32}, "images of 16 x 16 pixels are not made of whole patches of 32 x 32"),
            ({"mean": (127.0, 127.0, 127.0)}, "mean and std must be in pixel units"),
        ],
    )
    def test_sizes_that_the_network_does_not_take(self, fields, message):
        with pytest.raises(UserError, match=message):
            load_backbone("digits_vit", weights=None, **fields)

    def test_an_option_that_the_network_does_not_have(self):
        with pytest.raises(UserError, match=r"resnet10t cannot be built with \{'img_size': 32"):
            load_backbone("resnet10t", weights=None, num_classes=2, image_size=32)

    def test_weights_that_cannot_be_fetched(self, monkeypatch):
        def fail(*args, **kwargs):
            raise OSError("no network")

        monkeypatch.setattr(timm, "create_model", fail)
        with pytest.raises(
            UserError, match=r"weights of vit_tiny_patch16_224 could not be fetched \(no network\); give a"
        ):
            load_backbone("vit_tiny_patch16_224")


class TestValue:
    def test_it_builds_the_same_model_again_and_comes_back_from_plain_data(self, file, images):
        model = load_backbone("digits_vit", num_classes=3, weights=file, image_size=16, mean=(0.1, 0.2, 0.3), seed=4)
        value = model.origin
        assert torch.equal(value.load()(images), model(images))
        plain = to_plain(value, ())
        assert plain["mean"] == [0.1, 0.2, 0.3]
        assert from_plain(Backbone, plain, ()) == value

    def test_it_is_frozen_and_hashable(self):
        assert len({Backbone(), Backbone(name="digits_vit")}) == 1
        with pytest.raises(dataclasses.FrozenInstanceError):
            Backbone().seed = 1

    def test_the_architecture_that_ships_is_in_the_table(self):
        assert "digits_vit" in BACKBONES
        assert BACKBONES["digits_vit"]().embed_dim == DIGITS_VIT["embed_dim"]
