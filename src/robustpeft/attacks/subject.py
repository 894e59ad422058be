"""What is attacked, exactly? Where a model lies, in which precision it computes, and whether it is still the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from robustpeft.errors import UserError
from robustpeft.types import Classifier, gives_gradients

if TYPE_CHECKING:
    from robustpeft.attacks.base import Attack

__all__ = [
    "check_gradients",
    "check_same_answers",
    "default_slots",
    "device_of",
    "in_its_precision",
    "in_low_precision",
    "model_digest",
]

_NARROW = (torch.float16, torch.bfloat16)
_ALIKE = 0.01  # of the largest logit: other machines and thread counts differ by less, other models by more


def model_digest(model: Classifier) -> str:
    """Return a SHA-256 over the kind and all tensors of a module; ``unknown`` of any other callable."""
    if not isinstance(model, nn.Module):
        return "unknown"
    digest = hashlib.sha256(type(model).__qualname__.encode())
    for name, tensor in sorted(model.state_dict().items()):
        if isinstance(tensor, Tensor):
            values = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
            digest.update(values.flatten().view(torch.uint8).numpy().tobytes() if values.numel() else b"")
    return digest.hexdigest()


def default_slots(images: Tensor) -> int:
    """Return how many images of this size fill the device without wasting its memory: on a CPU 8 to 64.

    There a few images are as fast apiece as many, and the last ones of a search, which hold out longest, leave fewer
    slots idle.
    """
    pixels = images.shape[-2] * images.shape[-1]
    most, budget = (256, 64 << 20) if images.is_cuda else (64, 1 << 14)
    return max(8, min(most, budget // pixels))


def device_of(model: Classifier) -> torch.device:
    """Return where the first parameter of a module lies; the CPU for any other callable."""
    parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return torch.device("cpu") if parameter is None else parameter.device


def in_its_precision(model: Classifier, view: Classifier) -> Classifier:
    """Return the view; with a cast of the float32 images before it, if the whole model is in one half precision.

    An adversarial image is then float32, and rounding it belongs to the model that is attacked.
    """
    if not isinstance(model, nn.Module):
        return view
    kinds = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
    if len(kinds) != 1 or not kinds <= set(_NARROW):
        return view
    (kind,) = kinds
    return lambda images: view(images.to(kind))


def in_low_precision(view: Classifier, kind: torch.dtype | None, device: torch.device) -> Classifier:
    """Return the view with its passes cast to `kind` where products gain by it; as it is for None."""
    if kind is None:
        return view

    def cast(images: Tensor) -> Any:
        with torch.autocast(device.type, dtype=kind):
            return view(images)

    return cast


def check_gradients(model: Classifier, attacks: Iterable[Attack], classes: int) -> None:
    """Raise if an attack goes along gradients and the model says that it gives none.

    Args:
        model: Any.
        attacks: What is planned.
        classes: Number of classes.

    Raises:
        UserError: Naming the attacks, and one that would do.
    """
    if gives_gradients(model):
        return
    searches = [search for attack in attacks for search in attack.stages(classes)]
    blind = dict.fromkeys(type(s).__name__ for s in searches if s.course(classes).gradients)
    if blind:
        raise UserError(
            f"{', '.join(blind)} {'needs' if len(blind) == 1 else 'need'} gradients, and this model gives none: it "
            "answers, and cannot be seen through; attack it by queries, for example with square:queries=5000"
        )


def check_same_answers(before: Tensor, ask: Callable[[], Tensor]) -> None:
    """Raise if a model answers otherwise than it did, although it answers twice alike.

    Args:
        before: Logits (m, k) of some images.
        ask: Gives the present ones.

    Raises:
        UserError: If they differ by more than rounding does.
    """
    now = ask()
    if _alike(before, now) or not _alike(now, ask()):  # a model that answers at random says nothing here
        return
    raise UserError("the model answers otherwise than when this ledger was begun; begin another one")


def _alike(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    return bool((one - other).abs().amax() <= _ALIKE * one.abs().amax())
