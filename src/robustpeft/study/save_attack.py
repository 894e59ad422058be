"""How do adversarial images leave the house? As PNG in class folders and as float32, with a manifest beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from robustpeft.attacks import ATTACK_AXIS, PGD, Attack, Judge
from robustpeft.attacks.containment import check_within
from robustpeft.attacks.driver import default_slots
from robustpeft.attacks.subject import check_gradients, device_of
from robustpeft.auditing.environment import describe_environment
from robustpeft.backbones import ImageClassifier
from robustpeft.data import ImageData
from robustpeft.errors import UserError
from robustpeft.records import write_json
from robustpeft.records.folder_record import MANIFEST_FILE, MANIFEST_VERSION
from robustpeft.study.audit_model import check_names, describe_subject
from robustpeft.study.audited_images import load_test_images
from robustpeft.types import THREATS, Threat, name_of, to_plain

__all__ = ["save_attack"]

_ENOUGH = 64  # images of one file of tensors


def save_attack(
    model: ImageClassifier,
    data: Any,
    directory: str | Path,
    threat: Threat | None = None,
    *,
    attack: Attack | None = None,
    images: int | None = 1000,
    seed: int = 0,
    observer: Callable[[int, int], None] | None = None,
) -> Path:
    """Write one adversarial image for every test image and return the path of the manifest.

    ``CLASS/NAME.png`` holds the image rounded to eight bits, losslessly; ``adversarial-<i>.safetensors`` the float32
    images by id; ``manifest.json`` the source, attack, threat and seed, digests, and for every image what the source
    says of the original, of the float32 image and of the file. Rounding moves a value by up to 1 / 510: the manifest
    says how large the largest perturbation of either is.

    Args:
        model: The source.
        data: As for `tune`; its test images are attacked.
        directory: Must not exist or be empty.
        threat: By default what the model was tuned for.
        attack: By default PGD with 20 steps on the margin.
        images: At most this many, a stratified subset; None for all.
        seed: Of the subset and the attack.
        observer: Called with the images done and their number.

    Cost:
        The attack, and 3 forwards an image.

    Raises:
        UserError: If the directory is not empty, no threat is known, or model and data do not fit each other.
    """
    folder = Path(directory)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not empty; give another directory for the adversarial images")
    threat = threat or model.threat
    if threat is None:
        raise UserError("the model was not tuned for a threat; say which, for example Linf(4 / 255)")
    found = load_test_images(data, model)
    check_names(model, found)
    attack = attack or PGD(steps=20, loss="margin")
    check_gradients(model, [attack], len(found.classes))
    split = found.test if images is None else found.test.take(images, seed)
    if len(split) == 0:
        raise UserError(f"{found.name} has no test images")
    device = device_of(model)
    width = min(default_slots(next(iter(split.batches(1, device=device))).images), len(split))
    judge, writer = Judge(model, width), _Writer(folder, found)
    for batch in split.batches(width, device=device):
        made = attack(model, batch.images, batch.labels, threat, seed=seed, ids=batch.ids)
        check_within(made, batch.images, threat, name_of(ATTACK_AXIS.table, attack))
        rounded = (made * 255).round() / 255
        start = len(writer.entries)
        names = [split.name(start + row) for row in range(len(made))]
        answers = [judge(part, batch.labels).predictions.tolist() for part in (batch.images, made, rounded)]
        writer.write(made.cpu(), batch.labels.tolist(), batch.ids.tolist(), names, answers)
        writer.note_sizes(threat.size(made - batch.images), threat.size(rounded - batch.images))
        if observer is not None:
            observer(len(writer.entries), len(split))
    tensors = writer.close()
    said = {
        "manifest_version": MANIFEST_VERSION,
        "source": to_plain(describe_subject(model), ()),
        "attack": to_plain(attack, (ATTACK_AXIS,)),
        "threat": {"norm": name_of(THREATS, threat), "epsilon": threat.epsilon},
        "largest": {"float32": writer.sizes[0], "stored": writer.sizes[1]},
        "seed": seed,
        "data": {"name": found.name, "split": "test", "digest": split.digest, "note": found.note},
        "classes": list(found.classes),
        "image_size": list(found.image_size),
        "tensors": tensors,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": describe_environment(device),
        "images": writer.entries,
    }
    write_json(folder / MANIFEST_FILE, said)  # last: a folder with a manifest is complete
    return folder / MANIFEST_FILE


@dataclass
class _Writer:
    """Puts images into files, one batch after the other."""

    folder: Path
    data: ImageData
    entries: list[dict[str, Any]] = field(default_factory=list)
    sizes: tuple[float, float] = (0.0, 0.0)
    _waiting: dict[str, Tensor] = field(default_factory=dict)
    _digests: dict[str, str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)

    def write(
        self, made: Tensor, labels: list[int], ids: list[int], names: list[str], answers: list[list[int]]
    ) -> None:
        """Write a batch of images (b, 3, h, w); `answers` are those to original, float32 and rounded image."""
        for row, image in enumerate(made):
            file = self._file(labels[row], ids[row], names[row])
            pixels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
            (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(self.folder / file)
            original, exact, stored = (answer[row] for answer in answers)
            said = {"original": original, "float32": exact, "stored": stored}
            self.entries.append({"id": ids[row], "label": labels[row], "file": file, "source_says": said})
            self._waiting[str(ids[row])] = image.float().clone()
        if len(self._waiting) >= _ENOUGH:
            self._flush()

    def note_sizes(self, exact: Tensor, stored: Tensor) -> None:
        """Keep the largest perturbations, in the norm of the threat."""
        self.sizes = (max(self.sizes[0], float(exact.max())), max(self.sizes[1], float(stored.max())))

    def close(self) -> dict[str, str]:
        """Write what waits, and return the digests of the tensor files."""
        if self._waiting:
            self._flush()
        return self._digests

    def _flush(self) -> None:
        name = f"adversarial-{len(self._digests):04d}.safetensors"
        save_file(self._waiting, self.folder / name)
        self._digests[name] = hashlib.sha256((self.folder / name).read_bytes()).hexdigest()
        self._waiting = {}

    def _file(self, label: int, image: int, name: str) -> str:
        """Return ``CLASS/NAME.png``; with the id where a name comes twice."""
        place = self.data.classes[label].replace("/", "_").replace("\\", "_")
        stem = Path(name).stem or str(image)
        file = f"{place}/{stem}.png"
        if file in self._taken:
            file = f"{place}/{stem}-{image}.png"
        self._taken.add(file)
        return file
