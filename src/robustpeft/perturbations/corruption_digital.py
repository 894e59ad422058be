"""What do lenses of software do? Contrast, elastic warps, pixelation and JPEG."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from robustpeft.perturbations.corruption_kind import CorruptionKind
from robustpeft.perturbations.resampling import blurred, box_matrix, resized
from robustpeft.types import Noise

__all__ = ["DIGITAL", "affine_through"]


def _contrast(images: Tensor, noise: Noise, factor: float) -> Tensor:
    """Return (x - m) factor + m with the mean m of each channel of each image."""
    mean = images.mean(dim=(2, 3), keepdim=True)
    return (images - mean) * factor + mean


def _elastic(images: Tensor, noise: Noise, setting: tuple[float, float, float]) -> Tensor:
    """Return the images after a random affine map and a smooth random displacement of every pixel, bilinear.

    The setting (amplitude, smoothness, shift of three corners) is in shares of the shorter side.
    """
    height, width = images.shape[-2:]
    amplitude, sigma, shift = (share * min(height, width) for share in setting)
    moves = (2 * noise.uniform((3, 2)).double() - 1) * shift
    back = torch.linalg.inv(affine_through(height, width, moves))
    warped = _sampled(images, (_grid(height, width, images.device) @ back.mT[..., :2])[..., :2], edge_twice=False)
    fields = 2 * noise.uniform((2, height, width), purpose=1).double() - 1
    fields = blurred(fields, sigma, mirror=True, truncate=3.0) * amplitude
    places = _grid(height, width, images.device)[..., :2].reshape(1, height, width, 2) + fields.permute(0, 2, 3, 1)
    return _sampled(warped, places.flatten(1, 2), edge_twice=True)


def affine_through(height: int, width: int, moves: Tensor) -> Tensor:
    """Return the affine maps (b, 3, 3), float64, of points (x, y, 1) that move three corners of a central square.

    Args:
        height: Of the image, in pixels.
        width: Likewise.
        moves: Float64 (b, 3, 2), x and y in pixels; of the corners at right below, right above, left above.
    """
    x, y, reach = width // 2, height // 2, min(height, width) // 3
    corners = moves.new_tensor([[x + reach, y + reach], [x + reach, y - reach], [x - reach, y - reach]])
    ones = torch.ones(3, 1, dtype=moves.dtype, device=moves.device)
    solved = torch.linalg.solve(torch.cat([corners, ones], dim=1), corners + moves).mT  # (b, 2, 3)
    last = moves.new_tensor([0.0, 0.0, 1.0]).expand(len(moves), 1, 3)
    return torch.cat([solved, last], dim=1)


def _grid(height: int, width: int, device: torch.device) -> Tensor:
    """Return (x, y, 1) of every pixel, float64 (h w, 3)."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)], dim=-1).flatten(0, 1).double().to(device)


def _sampled(images: Tensor, places: Tensor, *, edge_twice: bool) -> Tensor:
    """Return the images at places (b, h w, 2), x and y in pixels; mirrored outside, the edge once or twice."""
    height, width = images.shape[-2:]
    sides = places.new_tensor([width, height])
    unit = (2 * places + 1) / sides - 1 if edge_twice else 2 * places / (sides - 1) - 1
    grid = unit.to(images.dtype).reshape(len(images), height, width, 2)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=not edge_twice)


def _pixelate(images: Tensor, noise: Noise, share: float) -> Tensor:
    """Return the images shrunk to int(side * share) pixels and grown again, both by the box filter."""
    down = [box_matrix(max(1, int(side * share)), side) for side in images.shape[-2:]]
    up = [box_matrix(side, len(matrix)) for side, matrix in zip(images.shape[-2:], down, strict=True)]
    return resized(resized(images, *down), *up)


def _jpeg(images: Tensor, noise: Noise, quality: int) -> Tensor:
    """Return the images, rounded to eight bits, after JPEG of a quality by Pillow's encoder."""
    pixels = (images.detach() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    kept = torch.from_numpy(np.stack([_through_jpeg(image, quality) for image in pixels])) if len(pixels) else None
    return images if kept is None else kept.permute(0, 3, 1, 2).to(images.device, images.dtype) / 255


def _through_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        return np.array(image)


_S = 244 / 224  # the published code says 244 where 224 was meant, "but ultimately nothing is incorrect"

DIGITAL: Mapping[str, CorruptionKind] = {
    "contrast": CorruptionKind(_contrast, (0.4, 0.3, 0.2, 0.1, 0.05), (0.75, 0.5, 0.4, 0.3, 0.15)),
    "elastic_transform": CorruptionKind(
        _elastic,
        (
            (2 * _S, 0.7 * _S, 0.1 * _S),
            (2 * _S, 0.08 * _S, 0.2 * _S),
            (0.05 * _S, 0.01 * _S, 0.02 * _S),
            (0.07 * _S, 0.01 * _S, 0.02 * _S),
            (0.12 * _S, 0.01 * _S, 0.02 * _S),
        ),
        ((0.0, 0.0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
    ),
    "pixelate": CorruptionKind(_pixelate, (0.6, 0.5, 0.4, 0.3, 0.25), (0.95, 0.9, 0.85, 0.75, 0.65)),
    "jpeg_compression": CorruptionKind(_jpeg, (25, 18, 15, 10, 7), (80, 65, 58, 50, 40)),
}
"""The digital group; settings: factor, (amplitude, smoothness, shift), share of the side, quality."""
