"""What happens to an image without an adversary? One file per perturbation, each a frozen value that is called."""

from collections.abc import Mapping

from robustpeft.perturbations.base import Perturbation
from robustpeft.perturbations.corruption import CORRUPTIONS, Corruption, corruption_suite
from robustpeft.perturbations.gaussian_noise import GaussianNoise
from robustpeft.perturbations.patch_drop import PatchDrop
from robustpeft.perturbations.patch_shuffle import PatchShuffle
from robustpeft.perturbations.pixel_drop import PixelDrop
from robustpeft.perturbations.rotation import Rotation
from robustpeft.perturbations.translation import Translation

__all__ = [
    "CORRUPTIONS",
    "PERTURBATIONS",
    "Corruption",
    "GaussianNoise",
    "PatchDrop",
    "PatchShuffle",
    "Perturbation",
    "PixelDrop",
    "Rotation",
    "Translation",
    "corruption_suite",
]

PERTURBATIONS: Mapping[str, type[Perturbation]] = {
    "patch_drop": PatchDrop,
    "pixel_drop": PixelDrop,
    "patch_shuffle": PatchShuffle,
    "gaussian_noise": GaussianNoise,
    "rotation": Rotation,
    "translation": Translation,
    "corruption": Corruption,
}
