import dataclasses
import socket

import pytest

from robustpeft.data import HuggingFace, Torchvision
from robustpeft.errors import UserError
from robustpeft.study import dry_run, read_recipe
from robustpeft.study.offline import estimating, offline


def forbid(*_, **__):
    raise AssertionError("a connection was tried")


def test_nothing_finds_a_way_out():
    with offline(), pytest.raises(OSError, match="no connection is made"):
        socket.create_connection(("localhost", 80))


def test_an_estimate_needs_no_published_weights(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", forbid)
    quick = ["training.epochs=1", "training.batch_size=20", "training.train_images=20", "method.r=2"]
    recipe = read_recipe("lora-digits", [*quick, "backbone.name=test_vit.r160_in1k", "backbone.image_size=16"])
    cost = dry_run(recipe, device="cpu", steps=1)
    assert cost.parameters > cost.trained > 0


def test_images_that_are_not_here_are_not_fetched(monkeypatch, tmp_path):
    monkeypatch.setattr(socket.socket, "connect", forbid)
    recipe = dataclasses.replace(read_recipe("lora-digits"), data=Torchvision("cifar10", root=str(tmp_path)))
    with pytest.raises(UserError, match=r"cannot be read from .*An estimate fetches nothing: `robustpeft fetch` does"):
        dry_run(recipe, device="cpu")


def test_images_of_the_hub_are_asked_of_its_cache_alone(monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setattr(socket.socket, "connect", forbid)
    recipe = dataclasses.replace(read_recipe("lora-digits"), data=HuggingFace("nobody/nothing"))
    with pytest.raises(UserError, match=r"cannot be had: .*An estimate fetches nothing"):
        dry_run(recipe, device="cpu")


def test_other_errors_stay_what_they_are():
    recipe = read_recipe("lora-digits")
    with estimating(recipe) as here:
        assert here == recipe
    with pytest.raises(UserError, match=r"^mine$"), estimating(recipe):
        raise UserError("mine")
