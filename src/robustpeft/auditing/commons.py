"""What do the audits of one pass share? What is asked of their public network, which is the same for all of them.

It lies in a directory, so that a pass that was broken off goes on with the same values and the same counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from robustpeft.attacks import Attack
from robustpeft.attacks.kept_images import KeptImages, list_kept_images, read_kept_image
from robustpeft.auditing.measure import Setting
from robustpeft.records import Seal
from robustpeft.types import Threat

__all__ = ["Commons", "Place", "Shelf"]

_LOOK = "look.safetensors"


@dataclass(frozen=True)
class Commons:
    """Where the audits of one pass keep what they share.

    Args:
        directory: Made if need be; who began the pass deletes it at its end.
        network: Digest of the model without its adapter, head and normalisation included: who has the same shares.
    """

    directory: Path
    network: str

    def shelf(self, seal: Seal, setting: Setting, attack: Attack, threat: Threat) -> Shelf:
        """Return the place of this network, these images and this attack; whatever has influence has another place.

        Args:
            seal: Of the audit that asks; it knows the pixels, of which ids and labels say nothing.
            setting: Seed, width, device.
            attack: What is done to the images.
            threat: Norm and radius.
        """
        images = (seal.data, seal.pixels)
        what = (self.network, images, setting.seed, setting.width, setting.device.type, attack, threat)
        folder = self.directory / hashlib.sha256(repr(what).encode()).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        return Shelf(folder, seal.digest)


@dataclass(frozen=True)
class Place:
    """Where an audit keeps what it finds.

    Args:
        ledger: Directory of the attacks' results; None keeps them in memory.
        commons: What it shares with others; None for nothing.
    """

    ledger: Path | None = None
    commons: Commons | None = None


@dataclass(frozen=True)
class Shelf:
    """Clean answers of one network, and adversarial images made on it.

    Args:
        folder: Where they lie.
        by: The audit that asks, by the digest of its seal.
    """

    folder: Path
    by: str

    def look(self) -> tuple[dict[str, Tensor], bool] | None:
        """Return the answers, and whether another audit paid for them; None if nobody asked yet."""
        path = self.folder / _LOOK
        if not path.is_file():
            return None
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()["by"] != self.by  # noqa: SIM118

    def keep_look(self, answers: Mapping[str, Tensor]) -> None:
        """Keep the answers for the audits to come."""
        temporary = self.folder / f".{_LOOK}.tmp"
        save_file({name: tensor.contiguous() for name, tensor in answers.items()}, temporary, metadata={"by": self.by})
        temporary.replace(self.folder / _LOOK)

    def points(self) -> dict[int, tuple[Path, bool]]:
        """Return by image id the file of its adversarial image, and whether another audit paid for it."""
        return {image: (path, by != self.by) for by, image, path in list_kept_images(self.folder)}

    def read(self, path: Path, image: int) -> Tensor:
        """Return the adversarial image (3, h, w)."""
        return read_kept_image(path, image)

    def keeper(self) -> KeptImages:
        """Return what writes adversarial images; the stage to give it is `by`."""
        return KeptImages(self.folder, 0)
