"""How large is an epsilon? These photographs with the worst change that each radius allows, side by side.

With weights at hand the change is what PGD finds against the frozen network. Without, it is a pattern in which every
channel of every pixel moves by the whole radius, up or down by chance: no change within the radius is larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robustpeft.attacks import PGD
from robustpeft.backbones import Backbone
from robustpeft.data.decoding import open_image
from robustpeft.data.identity import ids_of_names
from robustpeft.data.resizing import fit
from robustpeft.data.survey import Photograph, Survey
from robustpeft.errors import UserError
from robustpeft.types import Linf, Noise

__all__ = ["RADII", "ContactSheet", "Portrayed", "choose_photographs", "contact_sheet"]

RADII = (0, 1, 2, 4, 8, 16)
"""In 8-bit steps: epsilon times 255."""

_SIZE = (224, 224)
_STEPS = 5


@dataclass(frozen=True, eq=False)
class Portrayed:
    """One photograph at every radius.

    Args:
        name: Its path in the folder.
        class_name: What it shows.
        versions: Uint8 (len(RADII), 3, h, w), the first one untouched.
        fooled: For each radius whether the frozen network says something else than at radius 0; None without one.
    """

    name: str
    class_name: str
    versions: Tensor
    fooled: tuple[bool, ...] | None = None


@dataclass(frozen=True, eq=False)
class ContactSheet:
    """Photographs at all `RADII`.

    Args:
        rows: One per photograph.
        method: How they were changed, in a sentence.
    """

    rows: tuple[Portrayed, ...]
    method: str


def choose_photographs(survey: Survey, first: Sequence[str] = (), count: int = 6) -> tuple[Photograph, ...]:
    """Return one photograph of each of several classes: those named first, then classes evenly spread.

    Args:
        survey: The folder.
        first: Class names that must be there.
        count: At most this many.
    """
    of_class: dict[str, list[Photograph]] = {}
    for photograph in survey.photographs:
        of_class.setdefault(photograph.class_name, []).append(photograph)
    named = [name for name in dict.fromkeys(first) if name in of_class][:count]
    others = [name for name in of_class if name not in named]
    room = min(count - len(named), len(others))
    chosen = [*named, *(others[i * len(others) // room] for i in range(room))]
    depth = -(-count // max(len(chosen), 1))  # where there are few classes, several of each
    several = [(i, name) for i in range(depth) for name in chosen if i < len(of_class[name])][:count]
    return tuple(
        of_class[name][i * len(of_class[name]) // depth] for name in chosen for i, other in several if other == name
    )


def contact_sheet(
    root: Path, photographs: Sequence[Photograph], backbone: Backbone | None, *, device: str = "cpu"
) -> ContactSheet:
    """Return the photographs as the network sees them, 224 pixels square, at all `RADII`.

    Args:
        root: The folder.
        photographs: Of it.
        backbone: A network whose weights are at hand; None to change every pixel by chance.
        device: Where it runs.

    Cost:
        With a network 5 forwards and backwards and 2 forwards a photograph and radius.
    """
    pixels = [np.array(fit(open_image(root / photograph.path), _SIZE)) for photograph in photographs]
    originals = torch.stack([torch.from_numpy(each).permute(2, 0, 1) for each in pixels])
    ids = ids_of_names(photograph.path for photograph in photographs)
    fooled: list[tuple[bool, ...]] | None = None
    if backbone is None:
        versions = _by_chance(originals, ids)
        method = (
            "Every channel of every pixel is moved by the whole radius, up or down by chance: no weights of a network "
            "were at hand to find the worst direction. No change within the radius is larger."
        )
    else:
        versions, fooled = _by_attack(originals, ids, backbone, device)
        method = f"Changed by PGD with {_STEPS} steps against the frozen {backbone.name}, away from what it says."
    rows = tuple(
        Portrayed(p.path, p.class_name, versions[:, i], None if fooled is None else fooled[i])
        for i, p in enumerate(photographs)
    )
    return ContactSheet(rows, method)


def _by_chance(originals: Tensor, ids: Tensor) -> Tensor:
    """Return uint8 (len(RADII), b, 3, h, w): one pattern a photograph, the same at all radii."""
    up = Noise(0, ids, "contact_sheet").uniform(tuple(originals.shape[1:])) < 0.5
    signs = torch.where(up, 1, -1)
    return torch.stack([(originals.int() + radius * signs).clamp(0, 255).byte() for radius in RADII])


def _by_attack(
    originals: Tensor, ids: Tensor, backbone: Backbone, device: str
) -> tuple[Tensor, list[tuple[bool, ...]]]:
    try:
        model = backbone.load().to(device)
    except UserError as error:
        raise UserError(f"the contact sheet needs the network: {error}") from error
    if model.image_size != _SIZE:
        raise UserError(f"the contact sheet is of {_SIZE[0]} pixels; {backbone.name} takes {model.image_size}")
    images = originals.to(device).float() / 255
    with torch.no_grad():
        said = model(images).argmax(dim=1)
    versions, fooled = [originals], [torch.zeros(len(originals), dtype=torch.bool)]
    for radius in RADII[1:]:
        found = PGD(steps=_STEPS)(model, images, said, Linf(radius / 255), seed=0, ids=ids.to(device))
        stored = found.mul(255).round()  # within the radius still: the photograph has eight bits too
        with torch.no_grad():
            fooled.append((model(stored / 255).argmax(dim=1) != said).cpu())
        versions.append(stored.byte().cpu())
    return torch.stack(versions), [tuple(map(bool, each)) for each in torch.stack(fooled, dim=1).tolist()]
