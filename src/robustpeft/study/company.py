"""What do the audits of one call have from each other? Images that were found, answers of one public network.

An image that broke one adapter is tried on the adapters of the same backbone that are audited after it, before any
search begins. The order is the one that was given, and everything lies in files: a call that was broken off and is
made again takes what is complete as it is and goes on where it was, with the same result.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch

from robustpeft.auditing import AuditPlan, Commons, expected_seal
from robustpeft.backbones import ImageClassifier
from robustpeft.data import Split
from robustpeft.errors import UserError
from robustpeft.records import AuditRecord, read_record
from robustpeft.records.store import RECORD_FILE

__all__ = ["Company"]

_FOLDER = ".shared"


@dataclass(frozen=True)
class Company:
    """Models that are audited one after the other.

    Args:
        models: By label, in the order in which they are audited.
        folders: Where their records go, by label.
        plan: Of all of them.
        alone: Nothing is had from others: each is audited as if it were the only one.
    """

    models: Mapping[str, ImageClassifier]
    folders: Mapping[str, Path]
    plan: AuditPlan
    alone: bool = False

    def plan_for(self, label: str) -> AuditPlan:
        """Return the plan for one model: that of all, and the models before it that have its backbone as siblings."""
        if self.alone or not (self.plan.keep_images and self.plan.attacks):
            return self.plan
        before = takewhile(lambda other: other != label, self.models)
        found = [str(self.folders[other]) for other in before if self._kin[other] == self._kin[label]]
        return dataclasses.replace(self.plan, siblings=(*self.plan.siblings, *found))

    def commons(self, label: str) -> Commons | None:
        """Return where a model finds what others asked its public network; None if none has the same."""
        if self.alone or not self.plan.transfer or label not in self._networks:
            return None
        network = self._networks[label]
        several = list(self._networks.values()).count(network) > 1
        return Commons(self._shared(label), network) if several else None

    def finished(self, split: Split, classes: tuple[str, ...], seed: int) -> dict[str, AuditRecord]:
        """Return by label the records that are there already, where others are still missing: all of this very seal.

        One without the adversarial images that are to be kept is not among them: the seal says nothing of those.

        Args:
            split: The images that the plan chooses from.
            classes: Class names.
            seed: Of all randomness.
        """
        there = {label for label, folder in self.folders.items() if (folder / RECORD_FILE).exists()}
        if len(there) == len(self.folders):
            return {}
        found: dict[str, AuditRecord] = {}
        for label in self.models:
            if label in there:
                try:
                    record = read_record(self.folders[label])
                    expected = expected_seal(self.models[label], split, self.plan_for(label), classes, seed)
                except UserError:
                    continue  # whatever is wrong with it, it is not one to be taken as it is
                sealed = record.seal is not None and record.seal.digest == expected.digest
                if sealed and (_has_kept(record) or not self.plan.keep_images):
                    found[label] = record
        return found

    @functools.cached_property
    def _kin(self) -> dict[str, tuple[Any, ...]]:
        return {label: _kin(model) for label, model in self.models.items()}

    @functools.cached_property
    def _networks(self) -> dict[str, str]:
        return {label: _public(model) for label, model in self.models.items() if model.attachments}

    def dissolve(self) -> None:
        """Delete what was only needed on the way, and nothing that others have put beside it."""
        for label in self.models:
            if self.commons(label) is not None:
                shutil.rmtree(self._shared(label), ignore_errors=True)
                with contextlib.suppress(OSError):  # others' is there, or it is gone
                    self._shared(label).parent.rmdir()

    def _shared(self, label: str) -> Path:
        """Return a directory of this company alone: other audits with the same output have others."""
        company = hashlib.sha256(repr(sorted(folder.name for folder in self.folders.values())).encode())
        return self.folders[label].parent / _FOLDER / company.hexdigest()[:16]


def _has_kept(record: AuditRecord) -> bool:
    """Return whether there are adversarial images beside a record; true as well if no attack broke anything."""
    clean, keys = [row for row in record.rows if row.stands("clean")], [m.key for m in record.of("attack")]
    return bool(record.adversarial) or (bool(record.rows) and all(row.stands(*keys) for row in clean))


def _kin(model: ImageClassifier) -> tuple[Any, ...]:
    """Return what siblings have in common: frozen weights but for heads, image size, normalisation."""
    return model.digest(), model.image_size, repr(model.normalize)


def _public(model: ImageClassifier) -> str:
    """Return the digest of a model without its adapter: every tensor, head and normalisation included."""
    columns = None if model.columns is None else model.columns.tolist()
    sha = hashlib.sha256(repr((model.image_size, model.normalize, columns)).encode())
    with model.disabled():
        for name, tensor in sorted(model.frozen_state().items()):
            sha.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            sha.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
