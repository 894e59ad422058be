"""What does an adversarial image look like? A few of them as small PNG files.

The PNG files are for looking: they have 8 bits a channel, which rounds a perturbation to multiples of 1/255, and at
most 128 pixels a side. Every number of the record comes from the images in floating point at their full size.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping

import torch
from PIL import Image
from torch import Tensor

from robustpeft.auditing.conditions import Condition
from robustpeft.auditing.measure import Answer, Outcome
from robustpeft.records import GalleryItem
from robustpeft.types import Split, Threat

__all__ = ["choose_shown", "gallery_items"]

_LARGEST_SIDE = 128


def choose_shown(split: Split, n: int, seed: int) -> dict[int, int]:
    """Return ids and labels of n images in the classes' proportions, chosen without asking the model.

    So that records of several models on the same data and seed show the same photographs.
    """
    if n == 0:
        return {}
    chosen = split.take(n, seed)
    return dict(zip(chosen.ids.tolist(), chosen.labels.tolist(), strict=True))


def gallery_items(
    shown: Mapping[int, int], clean: Outcome, attacked: Outcome, condition: Condition
) -> tuple[GalleryItem, ...]:
    """Return one item per shown image, in order.

    Args:
        shown: Labels of the images by id.
        clean: Outcome without an attack.
        attacked: Outcome of the attack that is shown.
        condition: That attack.

    Raises:
        ValueError: If the condition is not an attack.
    """
    if condition.threat is None:
        raise ValueError(f"the gallery shows attacks; {condition.key} is none")
    return tuple(
        _item(id_, label, clean.answers[id_], attacked.answers[id_], condition.threat) for id_, label in shown.items()
    )


def _item(id_: int, label: int, before: Answer, after: Answer, threat: Threat) -> GalleryItem:
    prediction, confidence = _verdict(before.logits)
    adversarial_prediction, adversarial_confidence = _verdict(after.logits)
    delta = after.image - before.image
    magnification = 0.5 / _largest_change(delta, threat)
    return GalleryItem(
        id=id_,
        label=label,
        norm=threat.norm,
        epsilon=threat.epsilon,
        prediction=prediction,
        confidence=confidence,
        adversarial_prediction=adversarial_prediction,
        adversarial_confidence=adversarial_confidence,
        original_png=_png(before.image, Image.Resampling.BOX),
        adversarial_png=_png(after.image, Image.Resampling.BOX),
        # Averaging neighbours of opposite sign would hide the perturbation; leaving out pixels does not.
        difference_png=_png(0.5 + magnification * delta, Image.Resampling.NEAREST),
        magnification=magnification,
    )


def _verdict(logits: Tensor) -> tuple[int, float]:
    prediction = int(logits.argmax())
    return prediction, float(torch.softmax(logits.double(), dim=0)[prediction])


def _largest_change(delta: Tensor, threat: Threat) -> float:
    """Return the change of a pixel that is shown at full contrast: epsilon in Linf, the largest found in other norms.

    In L2 no pixel comes near epsilon, and the picture would be grey.
    """
    found = float(delta.abs().max())
    return threat.epsilon if threat.norm == "linf" or found == 0 else found


def _png(image: Tensor, resampling: Image.Resampling) -> str:
    """Return a base64 PNG of an image (3, h, w), clipped to [0, 1], its sides scaled down to 128 px, never up."""
    pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous()
    picture = Image.fromarray(pixels.numpy())
    picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE), resampling, reducing_gap=None)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
