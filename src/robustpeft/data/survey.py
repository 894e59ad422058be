"""What is there to know of a folder of photographs before anything is trained on it? Every file is opened and decoded.

Facts only; `study.photographs.advice` says what follows from them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robustpeft.data.decoding import BrokenImageError, opened, to_rgb
from robustpeft.data.duplicates import Duplicate, copies_within
from robustpeft.data.folder_scan import FolderContent, FoundImage, scan
from robustpeft.data.identity import ids_of_names
from robustpeft.data.image_store import InMemory
from robustpeft.data.reading import Broken
from robustpeft.data.resizing import fit
from robustpeft.data.split import Split

__all__ = ["MOST_PHOTOGRAPHS", "Photograph", "Survey", "survey"]

MOST_PHOTOGRAPHS = 5000
"""Of a larger folder, as many are opened, evenly spread in natural order: looking must take minutes, not hours."""

_THREADS = min(8, os.cpu_count() or 1)
_BLOCK = 128  # photographs between two moments at which Ctrl-C is heard
_SIDE = 64  # of the thumbnails in which copies and grey are looked for
_GREY = 4  # largest difference of channels that JPEG leaves in a grey picture, in 8-bit steps
_ORIENTATION = 0x0112  # EXIF


@dataclass(frozen=True)
class Photograph:
    """One file that can be decoded.

    Args:
        path: Relative to the folder, with forward slashes.
        class_name: The folder that says what it shows.
        split: Where its owner put it; empty if nowhere.
        width: In pixels, upright.
        height: Likewise.
        kind: Pillow's name of its format: ``JPEG``, ``PNG``, ...
        grey: Whether it has no colour.
        turned: Whether its EXIF orientation turns or mirrors it.
    """

    path: str
    class_name: str
    split: str
    width: int
    height: int
    kind: str
    grey: bool
    turned: bool


@dataclass(frozen=True)
class Survey:
    """What a folder holds.

    Args:
        root: The folder.
        content: All files by name.
        photographs: Those that were opened and can be decoded.
        broken: Those that were opened and cannot.
        copies: Photographs that repeat an earlier one, exactly or nearly, with that one.
    """

    root: Path
    content: FolderContent
    photographs: tuple[Photograph, ...]
    broken: tuple[Broken, ...]
    copies: tuple[Duplicate, ...]

    @property
    def opened(self) -> int:
        """How many files were opened."""
        return len(self.photographs) + len(self.broken)

    @property
    def counts(self) -> dict[str, int]:
        """Files of each class, in the order of the classes, whether they were opened or not."""
        counted = Counter(image.class_name for image in self.content.images)
        return {name: counted[name] for name in self.content.classes}


def survey(root: Path, *, most: int = MOST_PHOTOGRAPHS, observer: Callable[[int, int], None] | None = None) -> Survey:
    """Return what lies in ``root/CLASS/*`` or ``root/{train,val,test}/CLASS/*``; nothing is written.

    Args:
        root: The folder.
        most: At most this many files are opened.
        observer: Told how many files were opened, and of how many.

    Raises:
        UserError: If there are no class folders with images in them.

    Cost:
        Every file that is opened is decoded once, a large JPEG at a fraction of its size; then 128 n^2 operations.
    """
    content = scan(root)
    images = _spread(content.images, most)
    photographs: list[Photograph] = []
    thumbnails: list[Tensor] = []
    broken: list[Broken] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(images), _BLOCK):
            for found in pool.map(lambda image: _look(root, image), images[start : start + _BLOCK]):
                if isinstance(found, Broken):
                    broken.append(found)
                else:
                    photographs.append(found[0])
                    thumbnails.append(found[1])
            if observer is not None:
                observer(min(start + _BLOCK, len(images)), len(images))
    return Survey(root, content, tuple(photographs), tuple(broken), _copies(photographs, thumbnails))


def _spread(images: Sequence[FoundImage], most: int) -> Sequence[FoundImage]:
    if len(images) <= most:
        return images
    return [images[i * len(images) // most] for i in range(most)]


def _look(root: Path, image: FoundImage) -> tuple[Photograph, Tensor] | Broken:
    """Return the facts of a photograph and its thumbnail, uint8 (3, _SIDE, _SIDE); or why it cannot be decoded."""
    try:
        with opened(root / image.path) as picture:
            width, height, kind = picture.width, picture.height, str(picture.format)
            orientation = picture.getexif().get(_ORIENTATION, 1)
            picture.draft(None, (4 * _SIDE, 4 * _SIDE))  # JPEG alone: decoded smaller, and many times faster
            small = fit(to_rgb(picture), (_SIDE, _SIDE))
    except BrokenImageError as error:
        return Broken(image.path, str(error))
    pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1)
    spread = pixels.amax(dim=0).int() - pixels.amin(dim=0).int()
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    facts = Photograph(
        image.path,
        image.class_name,
        image.split,
        width,
        height,
        kind,
        grey=int(spread.max()) <= _GREY,
        turned=orientation in range(2, 9),
    )
    return facts, pixels


def _copies(photographs: Sequence[Photograph], thumbnails: Sequence[Tensor]) -> tuple[Duplicate, ...]:
    if not photographs:
        return ()
    names = [photograph.path for photograph in photographs]
    rows = torch.arange(len(names))
    return copies_within(Split(InMemory(torch.stack(list(thumbnails)), names), rows, rows, ids_of_names(names)))
