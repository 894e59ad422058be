"""How is a plan carried out on many images? Stage by stage on the survivors, every result in a ledger, none lost.

To do is what the plan says minus what the ledger holds; so resuming is reading the ledger, and n processes share the
work by taking the images whose id is i modulo n. What happens to an image depends on the image, the plan, the width of
the slots, the number of threads and the machine, and on nothing else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from robustpeft.attacks.candidates import Candidates
from robustpeft.attacks.findings import Findings
from robustpeft.attacks.plan import AttackPlan, Stage
from robustpeft.attacks.progress import Progress
from robustpeft.attacks.subject import default_slots, device_of, model_digest
from robustpeft.attacks.undertaking import Undertaking
from robustpeft.errors import UserError, nearest_hint
from robustpeft.records import LedgerSegment, compact_ledger
from robustpeft.types import COUNT, PRECISIONS, Classifier, Interval, Split, check_fields, passes_dtype, to_plain

__all__ = ["Driver", "Progress", "default_slots", "model_digest"]


@dataclass(frozen=True)
class Driver:
    """Carries out plans on one model.

    Args:
        slots: Images in every pass, at least 1; None for what suits the device and the size of the images.
        directory: Where ledger and snapshots go; None keeps everything in memory.
        shard: (i, n): take the images whose id is i modulo n.
        snapshot_share: Of the wall time that saving the slots may take, in (0, 1]; 1 saves after every pass.
        precision: Of the search: ``float32``, ``bf16``, or ``auto``, which is bf16 on a GPU that computes in it. What
            it finds counts when the judge, in the precision of the model, confirms it; see also `search_again`.
        keep_images: Save adversarial images, float32 and lossless, beside the ledger: ``all``; ``first``, only those
            of images that nothing broke yet within this radius; or ``none``.
        seal: Digest of the plan of which this is a part; it goes into the first line of the ledger.
        observer: Called whenever runs have ended.
        on_found: Called with every image that breaks the model: id, stage, adversarial image (3, h, w); not again for
            those that the ledger holds already.
        candidates: Images that were found against other models: judged before any search, in order. What they break is
            not attacked again (`Findings.broke`); an attack of the plan may only gain by them.
        on_candidate: Called with every one of them that breaks the model: id, number of the threat, image (3, h, w).
        on_end: Called once all is done with what was attacked: a view that has answered every question of the plan.
    """

    slots: int | None = None
    directory: Path | None = None
    shard: tuple[int, int] = (0, 1)
    snapshot_share: float = 0.01
    precision: str = "float32"
    keep_images: Literal["none", "first", "all"] = "none"
    seal: str = ""
    observer: Callable[[Progress], None] | None = None
    on_found: Callable[[int, Stage, Tensor], None] | None = None
    on_end: Callable[[Classifier], None] | None = None
    candidates: Sequence[Candidates] = ()
    on_candidate: Callable[[int, int, Tensor], None] | None = None

    def __post_init__(self) -> None:
        check_fields(self, slots=COUNT, snapshot_share=Interval(0, 1, "(]"))
        if not 0 <= self.shard[0] < self.shard[1]:
            raise UserError(f"shard must be (i, n) with 0 <= i < n; got {self.shard}")
        if self.precision not in PRECISIONS:
            raise UserError(f"unknown precision {self.precision!r}; {nearest_hint(self.precision, PRECISIONS)}")
        if self.keep_images != "none" and self.directory is None:
            raise UserError("keep_images needs a directory")

    def run(self, model: Classifier, split: Split, plan: AttackPlan) -> Findings:
        """Return what came of the plan on the images of this shard.

        Args:
            model: Attacked through its frozen view, judged as it is, both in eval mode; left untouched, training flags
                included, also when something raises. A plain callable is called as it is; whether it is still the same
                when a ledger is resumed is told by its answers alone. One whose parameters are all float16 or all
                bfloat16 is given images rounded to that; its logits are compared as float32.
            split: The images, float32; one is enough, none is an error.
            plan: Attacks and threats.

        An image that is misclassified as it is is not attacked, and no attack is said to have broken it. A model that
        does not look at its images (a constant one) holds every image whose label it names: if its gradients are 0,
        that is logged; if there are none, it is an error. Two classes are enough, unless a loss needs more.

        Cost:
            1 forward an image for the clean one; the passes of the attacks on those that hold, until they break; and 1
            forward for every claim that an image is broken. The rows say so image by image; what is passed through the
            model besides is padding: of the last batch of clean images, of the judge's batches, and the slots that are
            idle at the end of a stage; and the gradient of a run's last look, of which only the logits are needed, in
            company of images that need theirs. Resuming a ledger: 1 batch that shows whether the model is the same.

        Raises:
            UserError: If there are no images; if an answer of the model is not finite (nothing of that pass is kept);
                if the directory holds other work, changed images included, is in use or cannot be written. What has
                been found until then stays in the ledger, whatever was raised, and is not done again.
        """
        from robustpeft.attacks import ATTACK_AXIS

        if len(split) == 0:
            raise UserError("there are no images to attack")
        device = device_of(model)
        first = next(iter(split.subset(torch.tensor([0])).batches(1, device=device))).images
        width = self.slots or default_slots(first)
        header = {
            "model": model_digest(model),
            "data": split.digest,
            "plan": to_plain(plan, (ATTACK_AXIS,))
            | {"threats": [{"norm": threat.norm} | to_plain(threat, ()) for threat in plan.threats]},
            "slots": width,
        }
        if self.seal:
            header["seal"] = self.seal
        if (kind := passes_dtype(self.precision, device)) is not None:
            header["precision"] = str(kind).removeprefix("torch.")
        devices = [device] if device.type == "cuda" else []
        with contextlib.ExitStack() as stack, torch.inference_mode(False), torch.random.fork_rng(devices):
            todo = Undertaking(model, split, plan, width, device, self.shard, self.precision)
            todo.observer, todo.on_found = self.observer, self.on_found
            todo.candidates, todo.on_candidate = self.candidates, self.on_candidate
            if self.directory is not None:
                segment = stack.enter_context(LedgerSegment(self.directory, self.shard, header))
                todo.resume(segment, self.directory, self.snapshot_share, header, keep=self.keep_images)
            findings = todo.run()
            if self.on_end is not None:
                self.on_end(todo.view)
        if self.directory is not None and self.shard == (0, 1):
            compact_ledger(self.directory)
        return findings
