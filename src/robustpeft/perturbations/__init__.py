"""What happens to an image without an adversary? One file per perturbation, each a frozen value that is called."""

from collections.abc import Mapping

from robustpeft.perturbations.base import Perturbation
from robustpeft.perturbations.gaussian_noise import GaussianNoise
from robustpeft.perturbations.patch_drop import PatchDrop
from robustpeft.perturbations.patch_shuffle import PatchShuffle
from robustpeft.perturbations.pixel_drop import PixelDrop

__all__ = ["PERTURBATIONS", "GaussianNoise", "PatchDrop", "PatchShuffle", "Perturbation", "PixelDrop"]

PERTURBATIONS: Mapping[str, type[Perturbation]] = {
    "patch_drop": PatchDrop,
    "pixel_drop": PixelDrop,
    "patch_shuffle": PatchShuffle,
    "gaussian_noise": GaussianNoise,
}
