"""How does a plan go, from the clean images to the last stage? What is known is left out, what comes is kept."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robustpeft.attacks.candidates import Candidates, Trying, try_candidates
from robustpeft.attacks.evaluation import check_classes
from robustpeft.attacks.findings import Findings, clean_extra, read_clean_extra
from robustpeft.attacks.jobs import Found, Job, Work
from robustpeft.attacks.judge import Judge
from robustpeft.attacks.kept_images import KeptImages
from robustpeft.attacks.losses import find_loss
from robustpeft.attacks.plan import CLEAN, AttackPlan, Stage
from robustpeft.attacks.progress import Progress, Teller
from robustpeft.attacks.search import State
from robustpeft.attacks.slots import Slots
from robustpeft.attacks.snapshot import Snapshots
from robustpeft.attacks.subject import check_same_answers, in_its_precision, in_low_precision
from robustpeft.attacks.target import Target
from robustpeft.errors import UserError
from robustpeft.records import LedgerRow, LedgerSegment
from robustpeft.types import Batch, Classifier, Noise, Split, attack_view, content_ids, passes_dtype

__all__ = ["Undertaking"]


class Undertaking:
    """One plan on one model on one split, under way.

    Args:
        model: As it was given.
        split: The images.
        plan: Attacks and threats.
        width: Slots.
        device: Where the model lies.
        shard: (i, n): take the images whose id is i modulo n.
        precision: Of the search; the judge keeps the model's own.
    """

    def __init__(
        self,
        model: Classifier,
        split: Split,
        plan: AttackPlan,
        width: int,
        device: torch.device,
        shard: tuple[int, int],
        precision: str = "float32",
    ) -> None:
        self.split, self.plan, self.width, self.device, self.shard = split, plan, width, device, shard
        view = in_its_precision(model, attack_view(model))
        self.view, self.judge = in_low_precision(view, passes_dtype(precision, device), device), Judge(model, width)
        self.ids: list[int] = split.ids.tolist()
        self.mine = [place for place, image in enumerate(self.ids) if image % shard[1] == shard[0]]
        self.findings = Findings(plan, ())
        self.observer: Callable[[Progress], None] | None = None
        self.on_found: Callable[[int, Stage, Tensor], None] | None = None
        self.candidates: Sequence[Candidates] = ()
        self.on_candidate: Callable[[int, int, Tensor], None] | None = None
        self.segment: LedgerSegment | None = None
        self.snapshots: Snapshots | None = None
        self.kept: KeptImages | None = None
        self.keep_first_only = False

    def resume(
        self, segment: LedgerSegment, directory: Path, share: float, header: Mapping[str, Any], *, keep: str
    ) -> None:
        """Go on from what lies in a directory, and keep there what comes."""
        self.segment = segment
        self.findings = Findings(self.plan, (), {row.key: row for row in segment.rows})
        work = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()
        self.snapshots = Snapshots(directory / f"slots-{self.shard[0]}-of-{self.shard[1]}.safetensors", share, work)
        self.kept = None if keep == "none" else KeptImages(directory, self.shard[0])
        self.keep_first_only = keep == "first"

    def run(self) -> Findings:
        """Return what came of it."""
        self._check_it_is_the_same()
        self._look_at_clean_images()
        if not self.mine:
            return self.findings
        clean = self.findings.clean(self.ids[self.mine[0]])
        assert clean is not None
        classes = len(read_clean_extra(clean.extra)[1])
        from robustpeft.attacks import ATTACKS

        stages = self.plan.stages(classes, dict(ATTACKS))
        self.findings = Findings(self.plan, stages, self.findings.rows)
        self._rehearse(stages, classes)
        self._try_candidates()
        for number, stage in enumerate(stages, start=1):
            self._run_stage(number, stage, classes)
        if self.kept is not None:
            self.kept.merge()
        if self.snapshots is not None:
            self.snapshots.delete()
        return self.findings

    def _check_it_is_the_same(self) -> None:
        """Raise if images or model changed since the ledger was begun, as far as one batch shows."""
        known = [place for place in self.mine if self.findings.clean(self.ids[place]) is not None][: self.width]
        for batch in self._batches(known):
            logits = torch.stack([self._clean_logits(*pair) for pair in _with_contents(batch)])
            check_same_answers(logits, lambda: self.judge(batch.images, batch.labels).logits)  # noqa: B023

    def _look_at_clean_images(self) -> None:
        todo = [place for place in self.mine if self.findings.clean(self.ids[place]) is None]
        for batch in self._batches(todo):
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

    def _rehearse(self, stages: Sequence[Stage], classes: int) -> None:
        """Let every search begin on one image, so that one that refuses the threat or the classes does so at once."""
        batch = next(self._batches(self.mine[:1]))
        logits = torch.zeros(len(batch.labels), classes, device=self.device)
        for stage in stages:
            threat, loss = self.plan.threats[stage.threat], stage.search.course(classes).loss
            check_classes(logits, batch.labels, None if loss is None else find_loss(loss))
            if threat.epsilon > 0:
                noise = Noise(self.plan.seed, batch.ids.to(self.device), stage.stream)
                stage.search.init(Target(batch.images, batch.labels, threat, noise, logits))

    def _try_candidates(self) -> None:
        trying = Trying(
            self.plan, self.split, self.mine, self.judge, self.findings, self.width, self.device, self._keep_candidates
        )
        try_candidates(trying, self.candidates)

    def _keep_candidates(self, threat: int, rows: Sequence[LedgerRow], found: Mapping[int, Tensor]) -> None:
        if self.kept is not None and found:
            self.kept.save(rows[0].stage, found)
        self._keep(rows)
        if self.on_candidate is not None:
            for image, point in found.items():
                self.on_candidate(image, threat, point)

    def _run_stage(self, number: int, stage: Stage, classes: int) -> None:
        key, threat = stage.key(self.plan), self.plan.threats[stage.threat]
        runs = stage.search.course(classes).runs
        among = self.plan.images_of(stage.attack, self.split.labels, self.split.ids)
        mine = [place for place in self.mine if self.ids[place] in among]
        todo = [place for place in mine if self._is_open(self.ids[place], stage, key, runs)]
        if threat.epsilon == 0:
            todo = []
        held = int(self.findings.correct([self.ids[place] for place in mine], stage.attack, stage.threat).sum())
        start = Progress(stage, number, len(self.findings.stages), 0, len(todo), 0, held)
        tell = Teller(self.observer, start, runs)
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
            report = functools.partial(self._report, stage, key, tell)
            slots = Slots(work, self._jobs(todo, key, runs, work), report)
            if (snapshots := self.snapshots) is None:
                slots.run()
            else:
                slots.run(lambda: snapshots.save_if_due(key, slots.unfinished))
        tell.end()

    def _report(self, stage: Stage, key: str, tell: Teller, found: Sequence[Found]) -> None:
        broken = {each.row.image: each.point for each in found if each.point is not None}
        if self.kept is not None:
            needed = broken
            if self.keep_first_only:
                worst = self.findings.worst
                needed = {image: point for image, point in broken.items() if worst(image, stage.threat) is None}
            self.kept.save(key, needed)
        self._keep([each.row for each in found])
        if self.on_found is not None:
            for image, point in broken.items():
                self.on_found(image, stage, point)
        tell([each.row for each in found])

    def _is_open(self, image: int, stage: Stage, key: str, runs: int) -> bool:
        clean = self.findings.clean(image)
        if clean is None or clean.broken or self.findings.runs_done(image, key, runs) == runs:
            return False
        if self.plan.cascade:
            return self.findings.worst(image, stage.threat) is None
        return self.findings.broke(image, stage.attack, stage.threat) is None

    def _jobs(self, todo: Sequence[int], key: str, runs: int, work: Work) -> Iterator[Job]:
        first = True
        for batch in self._batches(todo):
            labels = batch.labels.tolist()
            for row, (image, content) in enumerate(_with_contents(batch)):
                logits = self._clean_logits(image, content)
                done = self.findings.runs_done(image, key, runs)
                job = Job(batch.images[row], labels[row], image, logits, run=done)
                if self.snapshots is not None:
                    if first:
                        self.snapshots.load(key, functools.partial(_template, work, job))
                    job = self.snapshots.restored(job)
                first = False
                yield job

    def _batches(self, places: Sequence[int]) -> Iterator[Batch]:
        if places:
            yield from self.split.subset(torch.tensor(places)).batches(self.width, device=self.device)

    def _clean_logits(self, image: int, content: int) -> Tensor:
        """Return the logits (k,) that the ledger holds.

        Raises:
            UserError: If they are of other pixels.
        """
        clean = self.findings.clean(image)
        assert clean is not None
        known, logits = read_clean_extra(clean.extra)
        if known != f"{content & (1 << 64) - 1:016x}":
            raise UserError(f"image {image} has other pixels than when this ledger was begun; begin another one")
        return logits

    def _keep(self, rows: Sequence[LedgerRow]) -> None:
        if self.segment is not None:
            self.segment.append(rows)
        self.findings.add(rows)


def _with_contents(batch: Batch) -> list[tuple[int, int]]:
    return list(zip(batch.ids.tolist(), content_ids(batch.images).tolist(), strict=True))


def _template(work: Work, job: Job) -> State:
    noise = Noise(work.seed, torch.tensor([job.id], device=job.image.device), work.stream)
    label = torch.tensor([job.label], device=job.image.device)
    target = Target(job.image[None], label, work.threat, noise, job.clean[None].to(job.image.device))
    state: State = work.search.init(target)
    return state
