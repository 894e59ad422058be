"""Which models stand side by side? Adapters of one backbone, loaded when first asked for, over one set of weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import RLock
from typing import final

from robustpeft.app.lookup import FoundRun
from robustpeft.app.settings import Settings
from robustpeft.backbones import ImageClassifier
from robustpeft.data import ImageData
from robustpeft.errors import UserError
from robustpeft.pet import AdapterHandle, share
from robustpeft.study import find_device, load
from robustpeft.study.audit_runs import images_of
from robustpeft.study.undefended import undefend

__all__ = ["UNDEFENDED_CHOICE", "Lineup"]

_log = logging.getLogger(__name__)

UNDEFENDED_CHOICE = "undefended"
"""What stands for the backbone without an adapter among the labels of runs."""


@final
@dataclass(eq=False)
class Lineup:
    """The models of one family.

    Args:
        runs: At least one, all of one family.
        settings: Device, weights, data.
    """

    runs: Sequence[FoundRun]
    settings: Settings
    _models: dict[str, ImageClassifier] = field(default_factory=dict)
    _lock: RLock = field(default_factory=RLock)

    @property
    def labels(self) -> tuple[str, ...]:
        """What can be chosen: the undefended backbone first, then the runs."""
        return (UNDEFENDED_CHOICE, *(run.label for run in self.runs))

    @cached_property
    def images(self) -> ImageData:
        """The images of the runs.

        Raises:
            UserError: If they are not known, or not there any more.
        """
        with self._lock:
            failures = []
            for run in self.runs:
                try:
                    return images_of(self.settings.data, run.path, self._bare)
                except UserError as error:
                    failures.append(str(error))
            raise UserError(failures[0])

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; numbers where there are none."""
        model = self._bare
        return model.classes or tuple(str(label) for label in range(model.num_classes or 0))

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width that the models take.

        Raises:
            UserError: If they do not say.
        """
        if self._bare.image_size is None:
            raise UserError(f"{self._bare.name} does not say which image size it takes")
        return self._bare.image_size

    @property
    def patch_size(self) -> int:
        """Side of the backbone's patches in pixels; a fourth of the image where it does not say."""
        embed = getattr(self._bare.network, "patch_embed", None)
        size = getattr(embed, "patch_size", None)
        side = size[0] if isinstance(size, tuple) else size
        return int(side) if side else max(1, min(self.image_size) // 4)

    def model(self, label: str) -> ImageClassifier:
        """Return a model by its label, in eval mode.

        Raises:
            UserError: If there is none of this label, or it cannot be loaded.
        """
        with self._lock:
            if label not in self.labels:
                raise UserError(f"there is no model {label!r} here; choose among {', '.join(self.labels)}")
            if label not in self._models:
                self._models[label] = self._load(label)
            return self._models[label]

    def _load(self, label: str) -> ImageClassifier:
        run = next((run for run in self.runs if run.label == label), self.runs[0])
        model = self._load_run(run)
        if label != UNDEFENDED_CHOICE:
            return model
        _, model = undefend(model, lambda: self.images, str(find_device(self.settings.device)))
        return model

    def _load_run(self, run: FoundRun) -> ImageClassifier:
        return load(
            run.path,
            model=share(self._bare),
            device=str(find_device(self.settings.device)),
            trust=self.settings.trust,
        )

    @cached_property
    def _bare(self) -> ImageClassifier:
        """The backbone on its device with nothing attached; whatever is shown shares its weights."""
        with self._lock:
            asked = self.settings
            device = str(find_device(asked.device))
            model = load(self.runs[0].path, device=device, weights=asked.weights, trust=asked.trust)
            for attachment in list(model.attachments):
                if isinstance(attachment, AdapterHandle):
                    attachment.detach()
            model.threat, model.tuning, model.trained_ids = None, {}, frozenset()
            return model
