"""Which adversarial images does a third party need, and how do they lie beside a record?

One for each image and norm: what broke it within the smallest radius breaks it within every larger one too, so that
with these alone the count under every attack can be confirmed. A file per radius, ``adversarial/linf-0.1.npz``, which
``numpy.load`` opens: float32 and lossless, a member per image, named by its id. Packed, it has two fifths of the size
for Linf, where most values are one of a few, and hardly less for L2.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robustpeft.attacks.kept_images import list_kept_images, read_kept_image
from robustpeft.errors import UserError
from robustpeft.records import KeptFile
from robustpeft.types import THREATS, Axis, Threat, to_plain

__all__ = ["FOLDER", "file_digest", "forget_unpacked", "pack_images", "read_packed"]

FOLDER = "adversarial"
"""Directory beside a record."""
_THREAT_AXIS = Axis(Threat, THREATS, "threat", tag="norm")
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # no time of writing, so that equal images give equal files


def pack_images(ledger: Path, directory: Path, threats: Sequence[Threat]) -> tuple[KeptFile, ...]:
    """Write the images that the driver kept beside its ledger as packed files, and return what a record says of them.

    Args:
        ledger: Where the driver kept them; they stay there.
        directory: The record's; files go into `FOLDER` within, those of an earlier audit are deleted.
        threats: Those of the plan, ascending.

    Raises:
        UserError: If they cannot be written.
    """
    folder = directory / FOLDER
    found = _smallest(ledger, threats)
    written = []
    try:
        for path in folder.glob("*.npz"):
            path.unlink()
        for threat in threats:
            mine = {image: source for image, (nearest, source) in found.items() if threats[nearest] == threat}
            if mine:
                folder.mkdir(parents=True, exist_ok=True)
                written.append(_pack(folder / f"{_file_name(threat)}.npz", directory, threat, mine))
        if not written and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise UserError(f"adversarial images cannot be written to {folder} ({error.strerror})") from error
    return tuple(written)


def forget_unpacked(ledger: Path) -> None:
    """Delete what `pack_images` has read, once the record that names the packed files is on disk."""
    for path in ledger.glob("adversarial-*.safetensors"):
        path.unlink(missing_ok=True)


def read_packed(path: Path) -> Iterator[tuple[int, Tensor]]:
    """Yield id and adversarial image (3, h, w), float32, of every member of a file.

    Raises:
        UserError: If it is no such file, or damaged.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            for name in packed.namelist():
                with packed.open(name) as member:
                    values = np.lib.format.read_array(member, allow_pickle=False)
                if values.dtype != np.dtype("<f4") or values.ndim != 3:
                    raise ValueError(f"{name} is {values.dtype} {values.shape}, not float32 (3, h, w)")
                yield int(name.removesuffix(".npy")), torch.from_numpy(values.astype(np.float32))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} holds no adversarial images that can be read ({error})") from error


def _smallest(ledger: Path, threats: Sequence[Threat]) -> dict[int, tuple[int, Path]]:
    """Return for each image the place of the smallest radius within which one was kept, and the file it lies in."""
    by_name = {str(threat): place for place, threat in enumerate(threats)}
    best: dict[int, tuple[int, Path]] = {}
    for stage, image, path in list_kept_images(ledger):
        place = by_name[stage.rpartition("@")[2]]
        if image not in best or place < best[image][0]:
            best[image] = (place, path)
    return dict(sorted(best.items()))


def _pack(path: Path, directory: Path, threat: Threat, mine: Mapping[int, Path]) -> KeptFile:
    """Write images one by one: none but the present one is in memory."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
            for image, source in mine.items():
                values = np.ascontiguousarray(read_kept_image(source, image).float().numpy(), dtype="<f4")
                member = zipfile.ZipInfo(f"{image}.npy", _LONG_AGO)
                member.compress_type = zipfile.ZIP_DEFLATED
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, values, allow_pickle=False)
                packed.writestr(member, buffer.getvalue(), compresslevel=1)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return KeptFile(
        file=path.relative_to(directory).as_posix(),
        threat=to_plain(threat, (_THREAT_AXIS,)),
        images=len(mine),
        bytes=path.stat().st_size,
        sha256=file_digest(path),
    )


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _file_name(threat: Threat) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", str(threat)).strip("-")
