"""Which images are to be predicted? Those of a folder or a list, in natural order, without labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from robustpeft.data.decoding import open_image
from robustpeft.data.folder_scan import image_files
from robustpeft.data.image_store import ImageStore, read_ahead
from robustpeft.data.reading import Broken, read_images
from robustpeft.data.resizing import as_size
from robustpeft.errors import UserError

__all__ = ["UnlabelledImages", "load_images"]


@dataclass(frozen=True, eq=False)
class UnlabelledImages:
    """Images without labels.

    Args:
        paths: Those that can be read, in order.
        broken: Those that cannot, and why.
        store: Where the pixels lie.
        rows: Int64 (n,): the row of each path in the store.
    """

    paths: tuple[Path, ...]
    broken: tuple[Broken, ...]
    store: ImageStore
    rows: Tensor

    def __len__(self) -> int:
        return len(self.paths)

    def batches(self, batch_size: int, device: torch.device | str = "cpu") -> Iterator[Tensor]:
        """Yield float32 (b, 3, h, w) in [0, 1], in the order of `paths`.

        Raises:
            UserError: If the batch size is below 1.
        """
        if batch_size < 1:
            raise UserError(f"batch_size must be at least 1; got {batch_size}")
        parts = torch.split(self.rows, batch_size)
        return (pixels.to(device).float() / 255.0 for pixels in read_ahead(self.store, parts))


def load_images(source: str | Path | Sequence[str | Path], image_size: int | tuple[int, int]) -> UnlabelledImages:
    """Return the images of a folder and all folders below it, or of one file, or of a list of files.

    Args:
        source: A folder (its images come in natural order: 2.png before 10.png), a file, or files in an order of their
            own.
        image_size: Side, or (height, width), to fit them to.

    Raises:
        UserError: If there are no images, a path does not exist, or not one of them can be read.

    Cost:
        Every image is decoded once, twice if they do not fit into memory.
    """
    paths = _paths(source)
    names = [str(path) for path in paths]
    reading = read_images(lambda i: open_image(paths[i]), names, as_size(image_size), skip_broken=True)
    kept = tuple(paths[row] for row in reading.rows.tolist())
    return UnlabelledImages(kept, reading.broken, reading.store, reading.rows)


def _paths(source: str | Path | Sequence[str | Path]) -> list[Path]:
    given = [source] if isinstance(source, str | Path) else list(source)
    paths: list[Path] = []
    for path in (Path(entry).expanduser() for entry in given):
        if not path.exists():
            raise UserError(f"there is nothing at {path}")
        paths += image_files(path)[0] if path.is_dir() else [path]
    if not paths:
        raise UserError(f"no images in {', '.join(map(str, given)) or 'an empty list'}")
    return paths
