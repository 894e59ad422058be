"""How does a folder of images become a data set? One class folder per class; the split is made once and kept."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from robustpeft.data.decoding import open_image
from robustpeft.data.duplicates import duplicate_warnings
from robustpeft.data.folder_scan import scan
from robustpeft.data.folder_split import SPLITS, assign
from robustpeft.data.identity import ids_of_names
from robustpeft.data.image_data import DataSource, ImageData
from robustpeft.data.partition import TEST_SHARE, VALIDATION_SHARE, check_shares
from robustpeft.data.reading import listing, read_images
from robustpeft.data.resizing import ImageSize, as_size, describe
from robustpeft.data.split import Split
from robustpeft.data.split_file import SPLIT_FILE, SplitSettings, write_split
from robustpeft.errors import UserError

__all__ = ["Folder"]


@dataclass(frozen=True)
class Folder(DataSource):
    """``path/CLASS/IMAGE``, or ``path/{train,val,validation,test}/CLASS/IMAGE``.

    Splits that are there as folders are kept. Those that are missing are taken out of the rest, stratified by class,
    and written to a file that is read ever after; files that come later are named and not used. Classes are in
    natural order (class2 before class10); torchvision's ImageFolder sorts them as plain text.

    Args:
        path: The folder.
        group: Regular expression searched in the path relative to the folder; what its groups match (the whole match
            if it has none) names an object whose images all go into one split.
        validation: Share of the images to choose on, in [0, 1).
        test: Share of the images to judge on, in [0, 1).
        seed: Other seeds give other splits.
        split_file: Where the split is saved; ``robustpeft_split.json`` in the folder if None.
        skip_broken: Leave unreadable images out, with a warning, instead of raising.
    """

    path: str
    group: str | None = None
    validation: float = VALIDATION_SHARE
    test: float = TEST_SHARE
    seed: int = 0
    split_file: str | None = None
    skip_broken: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", os.fspath(self.path))
        check_shares(self.validation, self.test)
        if self.group is not None:
            try:
                re.compile(self.group)
            except re.error as error:
                raise UserError(f"group {self.group!r} is not a regular expression: {error}") from error

    def load(self, image_size: ImageSize = None) -> ImageData:
        """Return the data set.

        Raises:
            UserError: If there are no class folders or images, some are unreadable, a class is too small to split,
                the saved split was made by other settings, images differ in size and no size was asked for.

        Cost:
            Every image is decoded once, and compared across splits where it fits into memory.
        """
        root = Path(self.path).expanduser()
        file = Path(self.split_file).expanduser() if self.split_file else root / SPLIT_FILE
        content = scan(root)
        settings = SplitSettings(self.validation, self.test, self.seed, self.group)
        assignment = assign(content, settings, SplitSettings(VALIDATION_SHARE, TEST_SHARE, 0, None), file)
        images = [image for image in content.images if image.path in assignment.split_of]
        names = [image.path for image in images]
        size = as_size(image_size)
        reading = read_images(lambda i: open_image(root / names[i]), names, size, skip_broken=self.skip_broken)
        if assignment.unsaved is not None:
            write_split(assignment.unsaved, file)
        number = {name: i for i, name in enumerate(assignment.classes)}
        labels = torch.tensor([number[image.class_name] for image in images], dtype=torch.int64)
        everything = Split(reading.store, torch.arange(len(images)), labels, ids_of_names(names))
        rows: dict[str, list[int]] = {name: [] for name in SPLITS}
        for row in reading.rows.tolist():
            rows[assignment.split_of[names[row]]].append(row)
        splits = {name: everything.subset(torch.tensor(r, dtype=torch.int64)) for name, r in rows.items()}
        return ImageData(
            name=root.resolve().name,
            classes=assignment.classes,
            train=splits["train"],
            validation=splits["validation"],
            test=splits["test"],
            preprocessing=describe(size),
            warnings=(
                *_strangers(content.strangers),
                *assignment.warnings,
                *_class_warnings(assignment.classes, splits),
                *reading.warnings,
                *duplicate_warnings(splits),
            ),
        )


def _strangers(strangers: tuple[str, ...]) -> tuple[str, ...]:
    if not strangers:
        return ()
    return (f"files that are no images by their name: {len(strangers)}: {listing(strangers)}; left out",)


def _class_warnings(classes: tuple[str, ...], splits: dict[str, Split]) -> tuple[str, ...]:
    found = [
        f"no image of class {listing([classes[c] for c in missing])} in {name}"
        for name, split in splits.items()
        if len(split) and (missing := sorted(set(range(len(classes))) - set(split.labels.tolist())))
    ]
    if list(classes) != sorted(classes):
        found.append(
            "classes are in natural order, torchvision's ImageFolder would number them otherwise: match them by name"
        )
    return tuple(found)
