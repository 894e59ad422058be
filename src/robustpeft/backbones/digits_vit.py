"""What is the small ViT that ships with the package? Trained in the ordinary way by `scripts/train_digits_vit.py`."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from torch import nn

__all__ = ["DIGITS_VIT", "bundled_weights", "digits_vit"]

DIGITS_VIT = {"img_size": 16, "patch_size": 4, "embed_dim": 64, "depth": 4, "num_heads": 4}
"""Keyword arguments of timm's VisionTransformer; 205,002 parameters with ten classes."""


def digits_vit(num_classes: int = 10, **overrides: Any) -> nn.Module:
    """Return the architecture with random weights; `overrides` are timm's keyword arguments."""
    import timm

    network: nn.Module = timm.create_model("vit_tiny_patch16_224", num_classes=num_classes, **(DIGITS_VIT | overrides))
    return network


def bundled_weights() -> Path:
    """Return the path of the weights inside the installed package."""
    return Path(str(resources.files("robustpeft.backbones") / "digits_vit.safetensors"))
