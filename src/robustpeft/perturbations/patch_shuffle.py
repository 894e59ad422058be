"""What if the parts of the image are all there, but not in their places?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from robustpeft.errors import UserError
from robustpeft.perturbations.base import Perturbation
from robustpeft.types import Noise

__all__ = ["PatchShuffle"]


@final
@dataclass(frozen=True)
class PatchShuffle(Perturbation):
    """Cuts the image into a grid of patches and puts them back in a uniformly random order.

    Args:
        grid: Number of rows, and of columns unless `columns` is given; 1 leaves the image whole. Must divide the
            image's height. It is the strength: more rows are more and smaller patches.
        columns: Number of columns if it differs; must divide the image's width.
        per_batch: All images are shuffled alike.

    Raises:
        UserError: If a field is below 1.

    Source:
        Naseer et al. 2021, "Intriguing Properties of Vision Transformers", arXiv 2105.10497, with grids (rows x
        columns) 2 x 2, 2 x 4, 4 x 4, 4 x 8, 8 x 8, 14 x 14 and 16 x 16. Differences: one permutation per image unless
        `per_batch`, and keyed randomness in place of a global generator.
    """

    grid: int
    columns: int | None = None
    strength_field: ClassVar[str] = "grid"

    def __post_init__(self) -> None:
        counts: dict[str, object] = {"grid": self.grid, "columns": self.grid if self.columns is None else self.columns}
        for name, value in counts.items():  # `with_strength` may bring a fraction
            if not isinstance(value, int) or value < 1:
                raise UserError(f"{name} must be a whole number of patches, at least 1; got {value}")

    def apply(self, images: Tensor, noise: Noise) -> Tensor:
        """Return the images with their patches permuted."""
        batch, channels, height, width = images.shape
        rows, columns = self.grid, self.columns or self.grid
        if height % rows or width % columns:
            raise UserError(f"a grid of {rows} x {columns} patches must divide the image; it is {height} x {width}")
        size = (height // rows, width // columns)
        cut = images.reshape(batch, channels, rows, size[0], columns, size[1])
        patches = cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
        source = noise.permutation(rows * columns)[:, :, None, None, None]
        laid = patches.gather(1, source.expand_as(patches)).reshape(batch, rows, columns, channels, *size)
        return laid.permute(0, 3, 1, 4, 2, 5).reshape(images.shape)
