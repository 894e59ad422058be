"""How is a plan carried out on many images? Stage by stage on the survivors, every result in a ledger, none lost.

To do is what the plan says minus what the ledger holds; so resuming is reading the ledger, and n processes share the
work by taking the images whose id is i modulo n. What happens to an image depends on the image, the plan, the width of
the slots, the number of threads and the machine, and on nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from robustpeft.attacks.findings import Findings, clean_extra, read_clean_extra
from robustpeft.attacks.judge import Judge
from robustpeft.attacks.plan import CLEAN, AttackPlan, Stage
from robustpeft.attacks.search import State
from robustpeft.attacks.slots import Found, Job, Slots, Work
from robustpeft.attacks.snapshot import Snapshots, resumed
from robustpeft.attacks.target import Target
from robustpeft.errors import UserError
from robustpeft.records import LedgerRow, LedgerSegment
from robustpeft.types import Classifier, Noise, Split, attack_view, content_ids, to_plain

__all__ = ["Driver", "Progress", "model_digest"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """Where a plan stands, after a run has ended.

    Args:
        stage: The present stage.
        number: Of the present stage, from 1.
        stages: In all.
        done: Images of the present stage that have ended.
        images: Images of the present stage.
        broken: Of those done.
        correct: Images of the shard that this attack has not broken so far, misclassified ones left out.
        ended: The stage is over; told of every stage, also of one with nothing to do.
    """

    stage: Stage
    number: int
    stages: int
    done: int
    images: int
    broken: int
    correct: int
    ended: bool = False


@dataclass(frozen=True)
class Driver:
    """Carries out plans on one model.

    Args:
        slots: Images in every pass, at least 1; None for what suits the device and the size of the images.
        directory: Where ledger and snapshots go; None keeps everything in memory.
        shard: (i, n): take the images whose id is i modulo n.
        snapshot_share: Of the wall time that saving the slots may take, in (0, 1]; 1 saves after every pass.
        keep_images: Save every adversarial image, float32 and lossless, beside the ledger.
        observer: Called whenever runs have ended.
        on_found: Called with every image that breaks the model: id, stage, adversarial image (3, h, w).
    """

    slots: int | None = None
    directory: Path | None = None
    shard: tuple[int, int] = (0, 1)
    snapshot_share: float = 0.01
    keep_images: bool = False
    observer: Callable[[Progress], None] | None = None
    on_found: Callable[[int, Stage, Tensor], None] | None = None

    def __post_init__(self) -> None:
        if self.slots is not None and self.slots < 1:
            raise UserError(f"slots must be at least 1; got {self.slots}")
        if not 0 <= self.shard[0] < self.shard[1]:
            raise UserError(f"shard must be (i, n) with 0 <= i < n; got {self.shard}")
        if not 0 < self.snapshot_share <= 1:
            raise UserError(f"snapshot_share must be in (0, 1]; got {self.snapshot_share:g}")
        if self.keep_images and self.directory is None:
            raise UserError("keep_images needs a directory")

    def run(self, model: Classifier, split: Split, plan: AttackPlan) -> Findings:
        """Return what came of the plan on the images of this shard.

        Args:
            model: Attacked through its frozen view, judged as it is; left untouched.
            split: The images.
            plan: Attacks and threats.

        Cost:
            1 forward an image for the clean one; the passes of the attacks on those that hold, until they break; and 1
            forward for every claim that an image is broken.

        Raises:
            UserError: If the model's answers mean nothing, or the directory holds other work, changed images included.
        """
        from robustpeft.attacks import ATTACK_AXIS

        if len(split) == 0:
            raise UserError("there are no images to attack")
        device = _device_of(model)
        first = next(iter(split.subset(torch.tensor([0])).batches(1, device=device))).images
        width = self.slots or default_slots(first)
        header = {
            "model": model_digest(model),
            "data": split.digest,
            "plan": to_plain(plan, (ATTACK_AXIS,)) | {"threats": [str(threat) for threat in plan.threats]},
            "slots": width,
        }
        devices = [device] if device.type == "cuda" else []
        with contextlib.ExitStack() as stack, torch.inference_mode(False), torch.random.fork_rng(devices):
            segment = None
            if self.directory is not None:
                segment = stack.enter_context(LedgerSegment(self.directory, self.shard, header))
            return _Course(self, model, split, plan, width, device, segment).run()


class _Course:
    """One plan on one model on one split, under way."""

    def __init__(
        self,
        driver: Driver,
        model: Classifier,
        split: Split,
        plan: AttackPlan,
        width: int,
        device: torch.device,
        segment: LedgerSegment | None,
    ) -> None:
        self.driver, self.split, self.plan, self.width, self.device = driver, split, plan, width, device
        self.segment = segment
        self.view, self.judge = attack_view(model), Judge(model, width)
        self.ids: list[int] = split.ids.tolist()
        self.mine = [place for place, image in enumerate(self.ids) if image % driver.shard[1] == driver.shard[0]]
        self.findings = Findings(plan, (), {row.key: row for row in (segment.rows if segment else [])})
        self._chunk = 0

    def run(self) -> Findings:
        self._look_at_clean_images()
        if not self.mine:
            return self.findings
        clean = self.findings.clean(self.ids[self.mine[0]])
        assert clean is not None
        classes = len(read_clean_extra(clean.extra)[1])
        from robustpeft.attacks import ATTACKS

        stages = self.plan.stages(classes, dict(ATTACKS))
        self.findings = Findings(self.plan, stages, self.findings.rows)
        snapshots = None
        if self.driver.directory is not None:
            name = f"slots-{self.driver.shard[0]}-of-{self.driver.shard[1]}.safetensors"
            snapshots = Snapshots(self.driver.directory / name, self.driver.snapshot_share)
        for number, stage in enumerate(stages, start=1):
            self._run_stage(number, stage, classes, snapshots)
        if snapshots is not None:
            snapshots.delete()
        return self.findings

    def _look_at_clean_images(self) -> None:
        todo = [place for place in self.mine if self.findings.clean(self.ids[place]) is None]
        if not todo:
            return
        for batch in self.split.subset(torch.tensor(todo)).batches(self.width, device=self.device):
            verdict = self.judge(batch.images, batch.labels)
            contents = content_ids(batch.images).tolist()
            rows = [
                LedgerRow(
                    image=image,
                    stage=CLEAN,
                    run=0,
                    broken=int(verdict.predictions[row]) != label,
                    step=0,
                    prediction=int(verdict.predictions[row]),
                    margin=float(verdict.margins[row]),
                    forwards=1,
                    extra=clean_extra(contents[row], verdict.logits[row]),
                )
                for row, (image, label) in enumerate(zip(batch.ids.tolist(), batch.labels.tolist(), strict=True))
            ]
            self._keep(rows)

    def _run_stage(self, number: int, stage: Stage, classes: int, snapshots: Snapshots | None) -> None:
        key, threat = stage.key(self.plan), self.plan.threats[stage.threat]
        runs = stage.search.course(classes).runs
        todo = [place for place in self.mine if self._is_open(self.ids[place], stage, key, runs)]
        if threat.epsilon == 0:
            todo = []
        tell = _Teller(self.driver.observer, stage, number, len(self.findings.stages), len(todo), self._held(stage))
        if todo:
            work = Work(
                view=self.view,
                judge=self.judge,
                search=stage.search,
                stream=stage.stream,
                stage=key,
                threat=threat,
                seed=self.plan.seed,
                classes=classes,
                width=self.width,
            )

            def report(found: Sequence[Found]) -> None:
                self._save_images(key, found)
                self._keep([each.row for each in found])
                for each in found:
                    if each.point is not None and self.driver.on_found is not None:
                        self.driver.on_found(each.row.image, stage, each.point)
                tell([each.row for each in found], runs)

            slots = Slots(work, self._jobs(todo, key, runs, work, snapshots), report)
            slots.run(None if snapshots is None else lambda: snapshots.save_if_due(key, slots.unfinished))
        tell.end()

    def _held(self, stage: Stage) -> int:
        """Return how many images are classified correctly under the stage's attack and threat so far."""
        ids = [self.ids[place] for place in self.mine]
        return int(self.findings.correct(ids, stage.attack, stage.threat).sum())

    def _is_open(self, image: int, stage: Stage, key: str, runs: int) -> bool:
        clean = self.findings.clean(image)
        if clean is None or clean.broken or self.findings.runs_done(image, key, runs) == runs:
            return False
        if self.plan.cascade:
            return self.findings.worst(image, stage.threat) is None
        return self.findings.broke(image, stage.attack, stage.threat) is None

    def _jobs(self, todo: Sequence[int], key: str, runs: int, work: Work, snapshots: Snapshots | None) -> Iterator[Job]:
        saved: dict[tuple[int, int], Mapping[str, Any]] = {}
        for batch in self.split.subset(torch.tensor(todo)).batches(self.width, device=self.device):
            contents = content_ids(batch.images).tolist()
            for row, (image, label) in enumerate(zip(batch.ids.tolist(), batch.labels.tolist(), strict=True)):
                clean = self.findings.clean(image)
                assert clean is not None
                content, logits = read_clean_extra(clean.extra)
                if content != f"{contents[row] & (1 << 64) - 1:016x}":
                    raise UserError(
                        f"image {image} has other pixels than when this ledger was begun; begin another one"
                    )
                job = Job(batch.images[row], label, image, logits, run=self.findings.runs_done(image, key, runs))
                if snapshots is not None:
                    saved = snapshots.load(key, functools.partial(_template, work, job))
                    snapshots = None  # read once
                yield resumed(job, saved.get((image, job.run)))

    def _keep(self, rows: Sequence[LedgerRow]) -> None:
        if self.segment is not None:
            self.segment.append(rows)
        self.findings.add(rows)

    def _save_images(self, key: str, found: Sequence[Found]) -> None:
        points = {f"{each.row.image}": each.point.contiguous().cpu() for each in found if each.point is not None}
        if not self.driver.keep_images or self.driver.directory is None or not points:
            return
        names = [f"adversarial-{self.driver.shard[0]}-{number:05d}.safetensors" for number in range(100_000)]
        while (path := self.driver.directory / names[self._chunk]).exists():
            self._chunk += 1
        save_file(points, path, metadata={"stage": key})


class _Teller:
    """Tells the observer how one stage goes."""

    def __init__(
        self,
        observer: Callable[[Progress], None] | None,
        stage: Stage,
        number: int,
        stages: int,
        images: int,
        correct: int,
    ) -> None:
        self._observer = observer
        self._now = Progress(stage, number, stages, 0, images, 0, correct)

    def __call__(self, rows: Sequence[LedgerRow], runs: int) -> None:
        now = self._now
        broken = sum(row.broken for row in rows)
        done = sum(row.broken or row.run + 1 == runs for row in rows)
        self._now = replace(now, done=now.done + done, broken=now.broken + broken, correct=now.correct - broken)
        if self._observer is not None:
            self._observer(self._now)

    def end(self) -> None:
        if self._observer is not None:
            self._observer(replace(self._now, ended=True))


def _template(work: Work, job: Job) -> State:
    noise = Noise(work.seed, torch.tensor([job.id], device=job.image.device), work.stream)
    label = torch.tensor([job.label], device=job.image.device)
    target = Target(job.image[None], label, work.threat, noise, job.clean[None].to(job.image.device))
    state: State = work.search.init(target)
    return state


def model_digest(model: Classifier) -> str:
    """Return a SHA-256 over the kind and all tensors of a module; ``unknown`` of any other callable."""
    if not isinstance(model, nn.Module):
        return "unknown"
    digest = hashlib.sha256(type(model).__qualname__.encode())
    for name, tensor in sorted(model.state_dict().items()):
        if isinstance(tensor, Tensor):
            values = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
            digest.update(values.flatten().view(torch.uint8).numpy().tobytes() if values.numel() else b"")
    return digest.hexdigest()


def default_slots(images: Tensor) -> int:
    """Return how many images of this size fill the device without wasting its memory: half a megapixel on a CPU."""
    pixels = images.shape[-2] * images.shape[-1]
    budget = 64 << 20 if images.is_cuda else 1 << 19
    return max(8, min(256 if images.is_cuda else 64, budget // pixels))


def _device_of(model: Classifier) -> torch.device:
    parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return torch.device("cpu") if parameter is None else parameter.device
