"""What is a specimen? A way to break, or not to break, an honest classifier, and what an audit must say of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

__all__ = ["CHECKS", "Build", "Honest", "Spoiled", "Specimen"]

Build = Callable[[nn.Module], nn.Module]

CHECKS = {
    "A1": "images within the declared box",
    "A2": "clean accuracy as it was in training: normalisation inside the model, once",
    "A3": "the perturbation's norm, from the images as they were saved",
    "A4": "a stored adversarial image still is one, alone and in a batch",
    "A5": "a stored adversarial image still is one with 8 bits a channel",
    "A6": "no module in training mode, no buffer that moves",
    "A7": "parameters, gradients and images are left as they were",
    "A8": "the folded form agrees, the adapter acts, and gradients flow through it",
    "A9": "the data and the order of its classes are those of the model",
    "A11": "labels are valid and mean the same classes",
    "B1": "the same question gets the same answer",
    "B2": "logits, not probabilities",
    "B3": "input gradients that are finite and not zero",
    "B4": "no optimisation within the forward pass",
    "B5": "as many answers as classes",
    "B6": "an attack without gradients finds no more",
    "B7": "answers depend neither on neighbours in the batch nor on earlier questions",
    "B8": "gradients, determinism and no optimisation: what a benchmark admits",
    "C1": "gradients can be had at all",
    "C2": "the loss is smooth around the images",
    "C5": "what breaks the model that was attacked breaks the one that is judged",
    "C6": "without a bound, every image falls",
    "D1": "many steps find no less than one",
    "D5": "a large bound brings accuracy down to guessing",
    "D7": "nothing else breaks an image that white-box attacks do not",
    "D9": "images from a substitute break no more",
    "D13": "clean accuracy is given, and abstentions are counted",
    "D19": "what cannot be differentiated is attacked around",
}
"""The kinds of checks that specimens name, by the letters of the audit's list, in plain words."""


@final
@dataclass(frozen=True)
class Specimen:
    """A classifier with one defect that an audit must notice.

    Args:
        name: Its key in `SPECIMENS`.
        what_is_wrong: One sentence.
        build: Takes an honest classifier of images in [0, 1] and returns the broken one; the honest one is not changed.
        expected: Keys of `CHECKS`; the defect is found if one of them speaks up, and silence of all is a miss.
        must_be_found: Whether silence is a miss. It is none where attacks break the bundled ViT with the defect as
            easily as without, and nothing else is out of order.
    """

    name: str
    what_is_wrong: str
    build: Build
    expected: tuple[str, ...]
    must_be_found: bool = True


@final
@dataclass(frozen=True)
class Honest:
    """A classifier without a defect, though a hasty check may see one; none may speak up.

    Args:
        name: Its key in `HONEST`.
        why_suspected: What it has in common with a broken one.
        build: Takes an honest classifier of images in [0, 1] and returns another; the given one is not changed.
    """

    name: str
    why_suspected: str
    build: Build


@final
@dataclass(frozen=True)
class Spoiled:
    """Adversarial images that are not what the attack found, because of how they were kept.

    Args:
        name: Its key in `SPOILED`.
        what_is_wrong: One sentence.
        spoil: Takes images (b, 3, h, w) in [0, 1] and returns what comes back from the disk.
        expected: Keys of `CHECKS`, as for a `Specimen`.
    """

    name: str
    what_is_wrong: str
    spoil: Callable[[Tensor], Tensor]
    expected: tuple[str, ...]
