"""What does a model say of images that somebody else made? Any folder of them, as it lies there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from robustpeft.attacks import Judge
from robustpeft.attacks.driver import default_slots
from robustpeft.attacks.subject import device_of
from robustpeft.auditing.environment import describe_environment
from robustpeft.auditing.sanity import check_answer
from robustpeft.backbones import ImageClassifier
from robustpeft.data import load_images
from robustpeft.data.folder_scan import scan
from robustpeft.errors import UserError
from robustpeft.records import Introduction
from robustpeft.records.folder_record import FolderRecord, FolderRow, read_manifest, write_folder_record
from robustpeft.study.audit_model import describe_subject
from robustpeft.study.run_directory import Run, load
from robustpeft.study.targets import Facts, check_used, default_place, find_target, kind_of, load_target
from robustpeft.study.targets.introduce import introduce
from robustpeft.study.typed import typed_command

__all__ = ["audit_folder", "folder_place", "settled_model"]


def audit_folder(
    model: ImageClassifier | Run | str | Path,
    folder: str | Path,
    *,
    label: str | None = None,
    output: str | Path | None = None,
) -> FolderRecord:
    """Return how a model classifies the images of ``folder/CLASS/IMAGE``, and the float32 ones they were rounded from.

    Args:
        model: A classifier, a run, or words that name a model whose files say all that has to be known; of any other
            see `settled_model`.
        folder: Class folders, whose names are the model's class names (in natural order, if it has none). Where
            `save_attack` made them, its manifest tells labels, attack and source, and its float32 images are judged
            beside the files.
        label: Name of the model in the record.
        output: Directory for ``folder_audit.json``; not written if None.

    Cost:
        1 forward a file, and 1 a float32 image.

    Raises:
        UserError: If there are no class folders, one is no class of the model, or the tensors were changed.
    """
    ready = model.model if isinstance(model, Run) else _named(model) if isinstance(model, str | Path) else model
    if not isinstance(ready, ImageClassifier):
        raise UserError(f"audit_folder takes a model from rp.load or rp.wrap; got {type(ready).__name__}")
    if ready.image_size is None:
        raise UserError("the model does not say which image size it takes; set model.image_size")
    root = Path(folder).expanduser()
    manifest = read_manifest(root)
    files, classes = _files(root, manifest, ready)
    exact, note = _tensors(root, manifest, ready)
    images = load_images([root / file for file, _ in files], ready.image_size)
    if images.broken:
        raise UserError(f"{len(images.broken)} of {len(files)} images cannot be read, first {images.broken[0]}")
    labels = torch.tensor([number for _, number in files])
    width = _width(ready.image_size, len(files))
    judge = Judge(ready, width)
    stored = _predictions(judge, images.batches(width, device_of(ready)), labels, classes)
    floats: Sequence[int | None] = [None] * len(files)
    if exact is not None:
        parts = (files[start : start + width] for start in range(0, len(files), width))
        batches = (torch.stack([exact[file] for file, _ in part]).to(device_of(ready)) for part in parts)
        floats = _predictions(judge, batches, labels, classes)
    record = FolderRecord(
        subject=describe_subject(ready, label),
        folder=str(folder),
        classes=classes,
        rows=tuple(FolderRow(f, n, s, e) for (f, n), s, e in zip(files, stored, floats, strict=True)),
        manifest=None if manifest is None else {key: said for key, said in manifest.items() if key != "images"},
        note=note,
        command=typed_command(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=describe_environment(device_of(ready)),
    )
    if output is not None:
        write_folder_record(record, Path(output))
    return record


def settled_model(words: str | Path, data: Any, facts: Facts, device: str = "cpu") -> ImageClassifier:
    """Return the model that these words name, ready to judge any folder.

    Args:
        words: As for `find_target`.
        data: Clean images, as for `tune`, on which is found out what a stranger's files do not say: its normalisation,
            what its outputs mean. Images that somebody attacked would tell the wrong thing. None where nothing is open.
        facts: What is known of it.
        device: Where to put it.

    Raises:
        UserError: If there is no such model, or something is open and there are no images to find it out.
    """
    target = find_target(str(words), facts)
    check_used([target], facts)
    loaded = load_target(str(words), facts, device)
    if loaded.settled:
        loaded.model.introduction = Introduction(target.words, kind_of(target))
        return loaded.model
    if data is None:
        raise UserError(
            f"{words} does not say how it is normalised and what its outputs mean; that is found out on clean images: "
            "say with --data which"
        )
    return introduce(words, data, facts, device=device)[0]


def folder_place(words: str, parent: Path | None = None, *, alone: bool = True) -> Path:
    """Return where the record about a folder goes: beside the audits of the model, or into a directory of several."""
    if parent is None:
        place = default_place(words)
        return (place.parent if place.name == "audit" and place.parent == Path(words) else place) / "audit_of_folder"
    if alone:
        return parent
    return parent / (Path(words).resolve().name if Path(words).is_dir() else default_place(words).name)


def _named(words: str | Path) -> ImageClassifier:
    try:
        find_target(str(words))
    except UserError:
        return load(words)  # an adapter on the hub; else its error says what is missing
    return settled_model(words, None, Facts())


def _files(
    root: Path, manifest: Mapping[str, Any] | None, model: ImageClassifier
) -> tuple[list[tuple[str, int]], tuple[str, ...]]:
    """Return files with labels, and the class names."""
    if manifest is not None:
        names = tuple(manifest["classes"])
        if model.classes and tuple(model.classes) != names:
            raise UserError(f"the images in {root} are of other classes than the model's: {', '.join(names[:5])}, ...")
        return [(str(entry["file"]), int(entry["label"])) for entry in manifest["images"]], names
    content = scan(root)
    classes = tuple(model.classes) or content.classes
    if strangers := [name for name in content.classes if name not in classes]:
        raise UserError(
            f"folders of {root} that are no classes of the model: {', '.join(strangers[:5])}; "
            f"it knows {', '.join(classes[:5])}, ..."
        )
    number = {name: i for i, name in enumerate(classes)}
    return [(image.path, number[image.class_name]) for image in content.images], classes


def _tensors(
    root: Path, manifest: Mapping[str, Any] | None, model: ImageClassifier
) -> tuple[dict[str, torch.Tensor] | None, str]:
    """Return the float32 images by file, and what a reader must know; None if there are none of the model's size."""
    if manifest is None:
        return None, "no manifest: how the images were made is not known"
    size = model.image_size or ()
    if tuple(manifest["image_size"]) != size:
        return (
            None,
            f"saved at {manifest['image_size']} pixels and fitted to {list(size)}: what was added was resized too",
        )
    found: dict[str, torch.Tensor] = {}
    for name, digest in manifest["tensors"].items():
        try:
            content = (root / name).read_bytes()
            found |= load_file(root / name)
        except (OSError, SafetensorError) as error:
            return None, f"the float32 images are not there ({type(error).__name__}); only the files were judged"
        if hashlib.sha256(content).hexdigest() != digest:
            raise UserError(f"{root / name} is not what the manifest says it is; it was changed")
    return {str(entry["file"]): found[str(entry["id"])] for entry in manifest["images"]}, ""


def _predictions(judge: Judge, batches: Any, labels: torch.Tensor, classes: tuple[str, ...]) -> list[int]:
    found: list[int] = []
    for images in batches:
        verdict = judge(images, labels[len(found) : len(found) + len(images)])
        check_answer(verdict.logits, len(images), classes)
        found += [int(prediction) for prediction in verdict.predictions]
    return found


def _width(size: tuple[int, int], count: int) -> int:
    return min(default_slots(torch.zeros(1, 3, *size)), count)
