"""How is something looked at without a connection? Whatever is not on this machine is told, not fetched."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn
from unittest import mock

from robustpeft.backbones import BACKBONES
from robustpeft.data import Torchvision
from robustpeft.errors import UserError
from robustpeft.study.recipe import Recipe

__all__ = ["estimating", "offline"]

_log = logging.getLogger(__name__)


@contextmanager
def offline() -> Iterator[None]:
    """Within the context nothing finds a way out of this machine, whichever library tries."""
    from huggingface_hub import constants

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise OSError("only looking: no connection is made")

    with (
        mock.patch.object(socket, "getaddrinfo", refuse),
        mock.patch.object(socket, "create_connection", refuse),
        mock.patch.object(constants, "HF_HUB_OFFLINE", True),
    ):
        yield


@contextmanager
def estimating(recipe: Recipe) -> Iterator[Recipe]:
    """Within the context nothing is fetched; give the recipe as its cost can be measured without.

    Published weights are left out: random ones take the same time and the same memory. Images must be here.

    Raises:
        UserError: If something is not here that the cost depends on; says how to get it.
    """
    backbone, data = recipe.backbone, recipe.data
    if backbone.weights is True and backbone.name not in BACKBONES:
        _log.info("the weights of %s are not fetched for an estimate: random ones cost the same", backbone.name)
        backbone = replace(backbone, weights=False)
    if isinstance(data, Torchvision):
        data = replace(data, download=False)
    try:
        with offline():
            yield replace(recipe, backbone=backbone, data=data)
    except UserError as error:
        if isinstance(error.__cause__, OSError | RuntimeError | ValueError):
            raise UserError(f"{error}. An estimate fetches nothing: `robustpeft fetch` does") from error
        raise
