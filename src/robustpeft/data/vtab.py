"""How does a task of VTAB-1k become a data set? From the lists of images in its packs: ``train800.txt`` and so on.

A pack has one folder per task. In it, next to the images, lie ``train800.txt``, ``val200.txt``, ``train800val200.txt``
and ``test.txt``, with one ``relative/path label`` a line.

Source: Zhai et al. 2019, arXiv:1910.04867. Differs from how the packs are commonly used: there all 1,000 images of
``train800val200.txt`` are trained on and the epoch is chosen on ``test.txt``; here ``train800.txt`` is trained on,
``val200.txt`` chooses, and ``test.txt`` is read once, at the end.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from PIL import Image

from robustpeft.data.augment import Augment
from robustpeft.data.decoding import open_image
from robustpeft.data.identity import ids_of_names
from robustpeft.data.image_data import DataSource, ImageData
from robustpeft.data.image_store import InMemory
from robustpeft.data.reading import listing, read_images
from robustpeft.data.resizing import ImageSize, as_size
from robustpeft.data.split import Split
from robustpeft.errors import UserError, nearest_hint

__all__ = ["VTAB_TASKS", "Vtab"]

VTAB_TASKS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "caltech101": (102, ()),
    "cifar100": (100, ("cifar", "cifar_100")),
    "dtd": (47, ()),
    "flowers102": (102, ("oxford_flowers102",)),
    "pets": (37, ("oxford_iiit_pet",)),
    "sun397": (397, ()),
    "svhn": (10, ("svhn_cropped",)),
    "patch_camelyon": (2, ()),
    "eurosat": (10, ()),
    "resisc45": (45, ()),
    "diabetic_retinopathy": (5, ()),
    "clevr_count": (8, ()),
    "clevr_dist": (6, ()),
    "dmlab": (6, ()),
    "kitti": (4, ()),
    "dsprites_loc": (16, ()),
    "dsprites_ori": (16, ()),
    "smallnorb_azi": (18, ()),
    "smallnorb_ele": (9, ()),
}
"""Number of classes of every task, and what its folder is also called."""

_LISTS = {"train": "train800.txt", "validation": "val200.txt", "test": "test.txt"}


@final
@dataclass(frozen=True)
class Vtab(DataSource):
    """One of the 19 tasks of VTAB-1k: 800 images to tune on, 200 to choose on, the task's test images.

    Args:
        task: A key of `VTAB_TASKS`.
        root: Folder in which the folders of the tasks lie.
        test_images: At most this many test images, a stratified subset; None for all (up to 73,728).
    """

    task: str
    root: str
    test_images: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", os.fspath(self.root))
        if self.task not in VTAB_TASKS:
            raise UserError(f"VTAB-1k has no task {self.task!r}; {nearest_hint(self.task, VTAB_TASKS)}")
        if self.test_images is not None and self.test_images < 1:
            raise UserError(f"test_images must be at least 1, or None for all; got {self.test_images}")

    def load(self, image_size: ImageSize = None) -> ImageData:
        """Return the task, its images squeezed to `image_size` (bicubic, whole, without a crop).

        Raises:
            UserError: If a folder or a list is missing, a line is no path and label, or an image cannot be read.
        """
        folder = self._folder()
        entries = {split: _read_list(folder / name, VTAB_TASKS[self.task][0]) for split, name in _LISTS.items()}
        return ImageData(
            f"VTAB-1k {self.task}",
            tuple(f"class {label}" for label in range(VTAB_TASKS[self.task][0])),
            _split(folder, entries["train"], image_size, None),
            _split(folder, entries["validation"], image_size, None),
            _split(folder, entries["test"], image_size, self.test_images),
            note="VTAB-1k: 800 images to tune on, 200 to choose on; test images are read once.",
            preprocessing="as stored" if image_size is None else f"squeezed to {image_size} pixels (bicubic), no crop",
            warnings=_overlaps(entries),
            default_augment=Augment(crop_padding=0.0, flip=False),
        )

    def _folder(self) -> Path:
        root = Path(self.root).expanduser()
        names = (self.task, *VTAB_TASKS[self.task][1])
        folder = next((root / name for name in names if (root / name).is_dir()), None)
        if folder is None:
            raise UserError(
                f"no VTAB-1k task {self.task} under {root}: expected a folder {' or '.join(names)} with "
                f"{', '.join(_LISTS.values())} and the images they name; give data.root"
            )
        if missing := [name for name in _LISTS.values() if not (folder / name).is_file()]:
            raise UserError(f"{folder} lacks {', '.join(missing)}: each line of it is a relative path and a label")
        return folder


def _read_list(file: Path, num_classes: int) -> tuple[tuple[str, int], ...]:
    """Return the path and label of every line; empty lines are left out."""
    entries = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        path, _, label = line.strip().rpartition(" ")
        if not line.strip():
            continue
        if not path or not label.isdecimal() or int(label) >= num_classes:
            raise UserError(
                f"{file}, line {number}: expected a relative path and a label from 0 to {num_classes - 1}; got {line!r}"
            )
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise UserError(f"{file}, line {number}: {path!r} leads out of the task's folder")
        entries.append((path, int(label)))
    if not entries:
        raise UserError(f"{file} names no images")
    if len({path for path, _ in entries}) < len(entries):
        raise UserError(f"{file} names an image twice")
    return tuple(entries)


def _split(folder: Path, entries: tuple[tuple[str, int], ...], image_size: ImageSize, most: int | None) -> Split:
    names, size = [path for path, _ in entries], as_size(image_size)
    labels, ids = torch.tensor([label for _, label in entries]), ids_of_names(names)

    def decode(row: int) -> Image.Image:
        image = open_image(folder / names[row])
        return image if size is None else image.resize((size[1], size[0]), Image.Resampling.BICUBIC)

    if most is not None:  # before anything is decoded
        nothing = InMemory(torch.empty((0, 3, 1, 1), dtype=torch.uint8))
        kept = Split(nothing, torch.arange(len(names)), labels, ids).take(most).rows
        names, labels, ids = [names[row] for row in kept.tolist()], labels[kept], ids[kept]
    reading = read_images(decode, names, size)
    return Split(reading.store, torch.arange(len(names)), labels, ids)


def _overlaps(entries: Mapping[str, tuple[tuple[str, int], ...]]) -> tuple[str, ...]:
    held_out = {path for split in ("validation", "test") for path, _ in entries[split]}
    shared = [path for path, _ in entries["train"] if path in held_out]
    return (f"images to tune on that are also held out: {listing(shared)}",) if shared else ()
