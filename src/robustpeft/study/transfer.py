"""Does an image made against one model fool another? All sources against all targets, and runs as they lie on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from robustpeft.attacks import ATTACK_AXIS, PGD, Attack, Judge
from robustpeft.attacks.containment import check_within
from robustpeft.attacks.driver import default_slots
from robustpeft.attacks.subject import check_gradients, device_of
from robustpeft.auditing.environment import describe_environment
from robustpeft.auditing.sanity import check_answer
from robustpeft.backbones import ImageClassifier
from robustpeft.data import ImageData
from robustpeft.errors import UserError
from robustpeft.records import DataInfo, TransferRecord, TransferRow, write_transfer
from robustpeft.study.audit_model import check_names, describe_subject
from robustpeft.study.audited_images import load_test_images, steps_outside
from robustpeft.study.run_directory import Run, load
from robustpeft.study.typed import typed_command
from robustpeft.types import THREATS, Batch, Split, Threat, name_of, to_plain

__all__ = ["transfer"]

Model = ImageClassifier | Run | str | Path


def transfer(
    models: Mapping[str, Model] | Sequence[Model],
    data: Any,
    threat: Threat | None = None,
    *,
    attack: Attack | None = None,
    images: int | None = 1000,
    output: str | Path | None = None,
    seed: int = 0,
    observer: Callable[[int, int], None] | None = None,
) -> TransferRecord:
    """Return how every model fares under the images made against every other: the diagonal is full knowledge.

    Args:
        models: Two or more classifiers, runs or paths of runs, by label or in order.
        data: As for `tune`; its test images are used.
        threat: What the attacker may do; by default what the first model was tuned for that was tuned for any.
        attack: How images are made; PGD with 20 steps on the margin by default. Where it does not succeed it gives the
            image nearest to success: what its source withstands may still fool another.
        images: At most this many, a stratified subset; None for all.
        output: Directory for ``transfer.json`` and ``transfer_images.jsonl``; not written if None.
        seed: Of the subset and the attack.
        observer: Called with the images done and their number after every batch.

    Cost:
        For m models, per image m attacks, m clean forwards and m^2 forwards under attack.

    Raises:
        UserError: If there are fewer than two models, they do not fit each other or the data, or no threat is known.
    """
    loaded = _loaded(models)
    first = next(iter(loaded.values()))
    found = load_test_images(data, first)
    for model in loaded.values():
        check_names(model, found)
    known = [model.threat for model in loaded.values() if model.threat is not None and model.threat.epsilon > 0]
    if threat is None and not known:
        raise UserError("none of the models was tuned for a threat; say which, for example Linf(4 / 255)")
    matrix = _Matrix(loaded, threat or known[0], attack or PGD(steps=20, loss="margin"), seed)
    for model in loaded.values():
        check_gradients(model, [matrix.attack], len(found.classes))
    split = found.test if images is None else found.test.take(images, seed)
    if len(split) == 0:
        raise UserError(f"{found.name} has no test images")
    rows: list[TransferRow] = []
    width = default_slots(next(iter(split.batches(1, device=device_of(first)))).images)
    judges = [Judge(model, min(width, len(split))) for model in loaded.values()]
    for batch in split.batches(min(width, len(split))):
        rows += matrix.rows(batch, judges, found.classes)
        if observer is not None:
            observer(len(rows), len(split))
    record = matrix.record(rows, _info(found, split))
    if output is not None:
        write_transfer(record, Path(output))
    return record


@dataclass(frozen=True)
class _Matrix:
    """What is compared, and how."""

    models: Mapping[str, ImageClassifier]
    threat: Threat
    attack: Attack
    seed: int

    def rows(self, batch: Batch, judges: Sequence[Judge], classes: tuple[str, ...]) -> list[TransferRow]:
        """Return what becomes of some images: every model is asked once about each as it is."""
        clean = [
            self._asked(judge, model, batch, classes) for judge, model in zip(judges, self.models.values(), strict=True)
        ]
        attacked: list[list[list[int]]] = []
        for source in self.models.values():
            place = device_of(source)
            images, labels, ids = (part.to(place) for part in (batch.images, batch.labels, batch.ids))
            adversarial = self.attack(source, images, labels, self.threat, seed=self.seed, ids=ids)
            check_within(adversarial, images, self.threat, name_of(ATTACK_AXIS.table, self.attack))
            attacked.append(
                [
                    judge(adversarial.to(device_of(target)), batch.labels).predictions.tolist()
                    for judge, target in zip(judges, self.models.values(), strict=True)
                ]
            )
        return [
            TransferRow(
                image,
                label,
                tuple(predictions[row] for predictions in clean),
                tuple(tuple(predictions[row] for predictions in targets) for targets in attacked),
            )
            for row, (image, label) in enumerate(zip(batch.ids.tolist(), batch.labels.tolist(), strict=True))
        ]

    def _asked(self, judge: Judge, model: ImageClassifier, batch: Batch, classes: tuple[str, ...]) -> list[int]:
        verdict = judge(batch.images.to(device_of(model)), batch.labels)
        check_answer(verdict.logits, len(batch.labels), classes)
        return [int(prediction) for prediction in verdict.predictions]

    def record(self, rows: Sequence[TransferRow], data: DataInfo) -> TransferRecord:
        """Return the record of all images."""
        return TransferRecord(
            subjects=tuple(describe_subject(model, label) for label, model in self.models.items()),
            data=data,
            attack=to_plain(self.attack, (ATTACK_AXIS,)),
            threat={"norm": name_of(THREATS, self.threat), "epsilon": self.threat.epsilon},
            rows=tuple(rows),
            seed=self.seed,
            command=typed_command(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            environment=describe_environment(device_of(next(iter(self.models.values())))),
        )


def _loaded(models: Mapping[str, Model] | Sequence[Model]) -> dict[str, ImageClassifier]:
    """Return the models by label, those without one numbered where two have the same technique.

    Raises:
        UserError: If there are fewer than two, one is not a model, or they do not fit each other.
    """
    if isinstance(models, str | Path) or len(models) < 2:
        raise UserError("transfer needs at least two models")
    pairs = list(models.items()) if isinstance(models, Mapping) else [("", model) for model in models]
    loaded: dict[str, ImageClassifier] = {}
    for given, model in pairs:
        ready = model.model if isinstance(model, Run) else load(model) if isinstance(model, str | Path) else model
        if not isinstance(ready, ImageClassifier):
            raise UserError(
                f"transfer takes models from rp.load, rp.load_backbone or rp.wrap; got {type(ready).__name__}"
            )
        label = given or describe_subject(ready).label
        same = sum(other.partition(" #")[0] == label for other in loaded)
        loaded[f"{label} #{same + 1}" if same else label] = ready
    sizes = {label: model.image_size for label, model in loaded.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{label}: {size}" for label, size in sizes.items())
        raise UserError(
            f"the models take images of different size ({listed}); the same epsilon means another thing there"
        )
    return loaded


def _info(data: ImageData, split: Split) -> DataInfo:
    outside = steps_outside(data)
    return DataInfo(data.name, "test", len(split), data.classes, data.image_size, split.digest, data.note, outside)
