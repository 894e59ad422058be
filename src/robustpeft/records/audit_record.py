"""What is the result of an audit? Counts and units that explain themselves, without a model and without torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from robustpeft.records.check import Check
from robustpeft.records.introduction import Introduction
from robustpeft.records.minimal_search import MinimalSearch
from robustpeft.records.rate import Rate
from robustpeft.records.seal import KeptFile, Seal

__all__ = [
    "SCHEMA_VERSION",
    "AuditRecord",
    "DataInfo",
    "GalleryItem",
    "ImageRow",
    "Measurement",
    "Subject",
    "data_info_from",
    "least_of",
]

SCHEMA_VERSION = 3

Kind = Literal["clean", "attack", "perturbation"]


@dataclass(frozen=True)
class Subject:
    """The model that was audited.

    Args:
        label: Short name for tables, for example ``FullLoRA`` or ``undefended``.
        backbone: Name of the frozen network.
        backbone_digest: SHA-256 of its frozen weights.
        method: The technique's table name and fields, ``{"name": "fulllora", "r": 8, ...}``; None if there is none.
        objective: What tuning minimised, likewise; None if unknown or nothing was tuned.
        trained_threat: The threat tuned for, ``{"norm": "linf", "epsilon": 0.1}``; None if not adversarial.
        num_parameters: All parameters of the model, head and adapter included.
        num_trained: Trained parameters, head included.
        num_trained_head: Those of them in the head.
        adapter_bytes: Size of the file with all that was trained; None if there is none.
        model_bytes: Size of the whole model's parameters in float32.
        tuning: Facts of the tuning for readers: ``epochs``, ``seconds``, ``learning_rate``, ``trials``, ``seed``, ...
        claimed_clean: Clean accuracy that its author claims, in [0, 1]; None if nothing was claimed.
    """

    label: str
    backbone: str
    backbone_digest: str
    num_parameters: int
    model_bytes: int
    method: dict[str, Any] | None = None
    objective: dict[str, Any] | None = None
    trained_threat: dict[str, Any] | None = None
    num_trained: int = 0
    num_trained_head: int = 0
    adapter_bytes: int | None = None
    tuning: dict[str, Any] = field(default_factory=dict)
    claimed_clean: float | None = None


@dataclass(frozen=True)
class DataInfo:
    """The images that were used.

    Args:
        name: The data set.
        split: ``test`` or ``validation``.
        n: Number of images.
        classes: Class names, label i is entry i.
        image_size: Height and width at which epsilon is imposed.
        digest: SHA-256 over ids and labels in order.
        note: What a reader must know of this data, for example that it is a JPEG copy.
        outside: What was done to every image before epsilon is imposed, in order: out of the adversary's reach.
    """

    name: str
    split: str
    n: int
    classes: tuple[str, ...]
    image_size: tuple[int, int]
    digest: str
    note: str = ""
    outside: tuple[str, ...] = ()


def data_info_from(plain: dict[str, Any]) -> DataInfo:
    """Return the value of plain data that was read from a file.

    Raises:
        KeyError: If a field is missing.
        TypeError: If one is unknown.
    """
    height, width = plain["image_size"]
    outside = tuple(plain.get("outside", ()))
    return DataInfo(**{**plain, "classes": tuple(plain["classes"]), "image_size": (height, width), "outside": outside})


@dataclass(frozen=True)
class Measurement:
    """How many images were classified correctly under one condition.

    Args:
        key: Unique name within the record, for example ``clean``, ``pgd@linf:0.1``, ``patch_drop@0.3``.
        kind: ``clean``, ``attack`` or ``perturbation``.
        name: Table name of the attack or perturbation; ``clean`` otherwise.
        settings: Its fields.
        threat: ``{"norm": ..., "epsilon": ...}`` for attacks.
        strength: Position on the strength axis: epsilon, ratio, standard deviation, ...; None for clean.
        correct: Images still classified correctly, of those it was tried on: all, but for searches whose queries are
            counted, which may be tried on a part.
        per_class: The same for each class, in the order of the class names.
        forwards: Forward passes spent, in images.
        backwards: Backward passes spent, in images.
        seconds: Wall time.
        queries: The most questions an image may have cost, of a search without gradients whose questions were counted
            (`ImageRow.queries`); else None.
        note: What a reader must know of how it came about; may be empty.
        borrowed: Where images that were found against other models were tried first: by the name of the model, how many
            of the images that are broken here were broken by one found there, and not searched for.
    """

    key: str
    kind: Kind
    name: str
    correct: Rate
    per_class: tuple[Rate, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    threat: dict[str, Any] | None = None
    strength: float | None = None
    forwards: int = 0
    backwards: int = 0
    seconds: float = 0.0
    queries: int | None = None
    note: str = ""
    borrowed: dict[str, int] = field(default_factory=dict)

    @property
    def at_one_radius(self) -> bool:
        """Whether it is an attack that audits try within the largest radius alone: a black box, or transfer."""
        return self.kind == "attack" and (self.queries is not None or self.name == "transfer")

    @property
    def macro_accuracy(self) -> float:
        """Mean over the classes that occur of the accuracy within the class; in [0, 1]."""
        shares = [r.fraction for r in self.per_class if r.n]
        return sum(shares) / len(shares) if shares else float("nan")


def least_of(measurements: Sequence[Measurement]) -> Rate:
    """Return the smallest count of some measurements, of which there is at least one.

    One that was tried on a part of the images has fewer because of that; it counts where there is no other.
    """
    n = max(m.correct.n for m in measurements)
    return min((m.correct for m in measurements if m.correct.n == n), key=lambda rate: rate.count)


@dataclass(frozen=True)
class ImageRow:
    """What happened to one image.

    Args:
        id: The image's id in its data set.
        label: Its true class.
        predictions: Predicted class under every measurement that the image was tried under, by key.
        queries: By key of a measurement that counts questions, the number of the one that broke it, from 1; nothing
            where none did.
        smallest: Norm of the smallest perturbation at which the prediction is wrong, of all that were found; 0 if it is
            as it is, None if none was found or nobody looked.
    """

    id: int
    label: int
    predictions: dict[str, int]
    queries: dict[str, int] = field(default_factory=dict)
    smallest: float | None = None

    def stands(self, *keys: str) -> bool:
        """Return whether the prediction is right under each of these; what the image was not tried under counts not."""
        return all(self.predictions.get(key, self.label) == self.label for key in keys)


@dataclass(frozen=True)
class GalleryItem:
    """One image shown to the reader, as small PNG files in base64.

    Args:
        id: The image's id; items of several records with one id are the same photograph.
        label: Its true class.
        epsilon: Radius of the attack shown.
        norm: Its norm.
        prediction: Predicted class of the original.
        confidence: Softmax probability of that class, in [0, 1].
        adversarial_prediction: Predicted class of the adversarial image.
        adversarial_confidence: Softmax probability of that class.
        original_png: The image.
        adversarial_png: The adversarial image.
        difference_png: 0.5 + magnification x (adversarial - original), clipped.
        magnification: Factor of the difference shown.
    """

    id: int
    label: int
    norm: str
    epsilon: float
    prediction: int
    confidence: float
    adversarial_prediction: int
    adversarial_confidence: float
    original_png: str
    adversarial_png: str
    difference_png: str
    magnification: float


@dataclass(frozen=True)
class AuditRecord:
    """Everything one audit found, and what is needed to repeat it.

    Args:
        subject: The model.
        data: The images.
        measurements: One per condition; ``clean`` is always there.
        rows: One per image; the measurements' counts follow from them.
        gallery: A few images to look at.
        seed: Seed of all randomness.
        command: The command that gives the record again.
        created: Time of completion, ISO 8601 in UTC.
        environment: Versions, device, threads.
        minimal: How the smallest perturbations of the rows were looked for; None if they were not.
        checks: What was asked of the audit itself, and the answers; empty if nothing was.
        seal: What was fixed before the first attack; None if nothing was.
        adversarial: Files with adversarial images that lie beside the record.
        introduction: How the model was named, and what was found out about it; None if it was given as an object.
        schema_version: Version of this layout.
    """

    subject: Subject
    data: DataInfo
    measurements: tuple[Measurement, ...]
    rows: tuple[ImageRow, ...] = ()
    gallery: tuple[GalleryItem, ...] = ()
    seed: int = 0
    command: str = ""
    created: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    seal: Seal | None = None
    adversarial: tuple[KeptFile, ...] = ()
    introduction: Introduction | None = None
    minimal: MinimalSearch | None = None
    schema_version: int = SCHEMA_VERSION

    def __getitem__(self, key: str) -> Measurement:
        """Return the measurement of this key.

        Raises:
            KeyError: Naming the keys there are.
        """
        for measurement in self.measurements:
            if measurement.key == key:
                return measurement
        raise KeyError(f"{key!r} was not measured; there are {[m.key for m in self.measurements]}")

    def of(self, kind: Kind, name: str | None = None) -> tuple[Measurement, ...]:
        """Return the measurements of one kind, and of one name if given, in order of strength."""
        found = [m for m in self.measurements if m.kind == kind and (name is None or m.name == name)]
        return tuple(sorted(found, key=lambda m: m.strength or 0.0))

    @property
    def worst_attack(self) -> Measurement | None:
        """The attack measurement that left the fewest images correct at the largest epsilon of the audit."""
        attacks = self.of("attack")
        if not attacks:
            return None
        largest = max(m.strength or 0.0 for m in attacks)
        within = [m for m in attacks if m.strength == largest]
        return next(m for m in within if m.correct == least_of(within))

    def as_dict(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, numbers and strings."""
        return dataclasses.asdict(self)
