"""Where do adversarial images lie? Beside the ledger, float32 and lossless, in files of about 64 images of one stage.

Each report is a small file of its own, on disk before its rows are; once the small ones hold enough, they are written
again as one and then deleted. A kill in between leaves an image twice, never none; and an image may be there without a
row, if the kill came between the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from robustpeft.errors import UserError

__all__ = ["KeptImages", "list_kept_images", "read_kept_image", "read_kept_images"]

_ENOUGH = 64


class KeptImages:
    """The files of one process.

    Args:
        directory: Where they are; must exist.
        shard: Number of the process.
    """

    def __init__(self, directory: Path, shard: int) -> None:
        self._directory = directory
        self._prefix = f"adversarial-{shard}-"
        numbers = [int(path.stem.rpartition("-")[2]) for path in directory.glob(f"{self._prefix}*.safetensors")]
        self._next = max(numbers, default=-1) + 1
        self._stage = ""
        self._small: dict[Path, int] = {}  # images in each

    def save(self, stage: str, points: Mapping[int, Tensor]) -> None:
        """Write images (3, h, w) of a stage, by image id; once this returns, a kill does not lose them.

        Raises:
            UserError: If they cannot be written.
        """
        if not points:
            return
        if stage != self._stage:
            self.merge()
            self._stage = stage
        path = self._write({f"{image}": point.detach().contiguous().cpu() for image, point in points.items()})
        self._small[path] = len(points)
        if sum(self._small.values()) >= _ENOUGH:
            self.merge()

    def merge(self) -> None:
        """Write the small files again as one."""
        if len(self._small) > 1:
            merged: dict[str, Tensor] = {}
            for path in self._small:
                merged |= load_file(path)
            self._write(merged)
            for path in self._small:
                path.unlink()
        self._small = {}

    def _write(self, points: dict[str, Tensor]) -> Path:
        path = self._directory / f"{self._prefix}{self._next:06d}.safetensors"
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            save_file(points, temporary, metadata={"stage": self._stage})
            temporary.replace(path)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path} cannot be written ({error}); what was found so far stays") from error
        finally:
            temporary.unlink(missing_ok=True)
        self._next += 1
        return path


def list_kept_images(directory: Path) -> Iterator[tuple[str, int, Path]]:
    """Yield stage, image id and file of every adversarial image, none of which is read; one may come twice."""
    for path in sorted(directory.glob("adversarial-*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                yield file.metadata()["stage"], int(name), path


def read_kept_image(path: Path, image: int) -> Tensor:
    """Return one adversarial image (3, h, w) of a file."""
    with safe_open(path, framework="pt") as file:
        point: Tensor = file.get_tensor(str(image))
        return point


def read_kept_images(directory: Path) -> Iterator[tuple[str, int, Tensor]]:
    """Yield stage, image id and adversarial image (3, h, w) of every file; an image may come twice, the same."""
    for stage, image, path in list_kept_images(directory):
        yield stage, image, read_kept_image(path, image)
