"""What may a check look at? The model, a few images, and, once the attacks are over, what came of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from robustpeft.attacks import Attack, AttackPlan, Driver, Findings, Missed, Search, Stage
from robustpeft.attacks.subject import in_its_precision
from robustpeft.auditing.checks.fingerprint import Fingerprint
from robustpeft.auditing.conditions import Condition
from robustpeft.auditing.effort import Effort
from robustpeft.auditing.measure import Outcome, Setting
from robustpeft.auditing.plan import AuditPlan
from robustpeft.records import Rate, Subject
from robustpeft.types import Batch, Classifier, Split, Threat, attack_view

__all__ = ["Case", "Keepsake", "Sample"]


@dataclass
class Keepsake:
    """What the attacks leave behind for the checks.

    Args:
        each: Adversarial images kept of every attack at every radius.
        points: Adversarial images (3, h, w) on the CPU, by image id, attack and threat.
        findings: What came of all attacks; None as long as they have not run.
        view: What was attacked, as it is after all questions; None as long as it was not.
        missed: What a search in low precision missed; None if it ran in float32.
    """

    each: int
    points: dict[tuple[int, int, int], Tensor] = field(default_factory=dict)
    findings: Findings | None = None
    view: Classifier | None = None
    missed: Missed | None = None

    def see(self, view: Classifier) -> None:
        """Keep what was attacked."""
        self.view = view

    def keep(self, image: int, stage: Stage, point: Tensor) -> None:
        """Keep a found image, unless enough of its kind are kept."""
        self.keep_at(image, stage.attack, stage.threat, point)

    def keep_at(self, image: int, attack: int, threat: int, point: Tensor) -> None:
        """Keep it under the numbers of attack and threat, -1 for what no attack of the plan found."""
        kind = (attack, threat)
        if sum(key[1:] == kind for key in self.points) < self.each:
            self.points[image, *kind] = point.detach().cpu()


@dataclass(frozen=True)
class Sample:
    """Some images on the model's device.

    Args:
        images: Float32 (m, 3, h, w) in [0, 1].
        labels: Int64 (m,).
        ids: Int64 (m,).
    """

    images: Tensor
    labels: Tensor
    ids: Tensor

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)


@dataclass(frozen=True)
class Case:
    """An audit under examination. What several checks need is computed once.

    Args:
        model: As it was given.
        setting: Judge, images, classes, width, device, seed.
        plan: What is measured.
        subject: What the record says of the model.
        effort: What may be spent.
        before: The model before anything was done to it.
        validation: Correct validation images when it was tuned; None if unknown.
        outcomes: What came of the conditions; empty before the attacks.
        keepsake: What the attacks left.
    """

    model: Classifier
    setting: Setting
    plan: AuditPlan
    subject: Subject
    effort: Effort
    before: Fingerprint
    validation: Rate | None = None
    outcomes: Mapping[Condition, Outcome] = field(default_factory=dict)
    keepsake: Keepsake = field(default_factory=lambda: Keepsake(0))

    @property
    def threat(self) -> Threat | None:
        """The main one, of the largest radius; None without attacks."""
        return self.plan.threats[-1] if self.plan.attacks and self.plan.threats else None

    @functools.cached_property
    def view(self) -> Classifier:
        """What an attack sees of the model."""
        return in_its_precision(self.model, attack_view(self.model))

    @functools.cached_property
    def sample(self) -> Sample:
        """A stratified sample of all images."""
        return self.load(self.setting.split.take(self.effort.images, self.setting.seed))

    @functools.cached_property
    def logits(self) -> Tensor:
        """The judge's logits (m, k) of the sample, on the CPU."""
        return self.setting.judge(self.sample.images, self.sample.labels).logits

    @functools.cached_property
    def scale(self) -> float:
        """The largest absolute logit of the sample, at least 1e-6."""
        return max(float(self.logits.abs().max()), 1e-6)

    @property
    def clean(self) -> Outcome:
        """What came of the clean images."""
        return next(outcome for condition, outcome in self.outcomes.items() if condition.kind == "clean")

    def broken_by(self, condition: Condition) -> Tensor:
        """Return bool (n,): correct when clean, and misclassified under this condition."""
        labels = self.setting.split.labels
        return (self.clean.predictions == labels) & (self.outcomes[condition].predictions != labels)

    def attacks_at(self, threat: Threat) -> list[Condition]:
        """Return the conditions of all attacks within exactly this threat, in the order of the plan."""
        return [condition for condition in self.outcomes if condition.threat == threat]

    @functools.cached_property
    def correct(self) -> Tensor:
        """Bool (n,): correct when clean."""
        return self.clean.predictions == self.setting.split.labels

    @functools.cached_property
    def held(self) -> Tensor:
        """Bool (n,): correct when clean and under every attack of the plan within the main threat."""
        held = self.correct.clone()
        for condition in self.attacks_at(self.threat) if self.threat else ():
            held &= self.outcomes[condition].predictions == self.setting.split.labels
        return held

    @functools.cached_property
    def survivors(self) -> Split:
        """A stratified sample of the images that nothing broke: the only ones a better attack could add."""
        places = self.held.nonzero().flatten()
        return self.setting.split.subset(places).take(self.effort.images, self.setting.seed)

    def load(self, split: Split) -> Sample:
        """Return the images of a split as one batch; at least one."""
        parts: list[Batch] = list(split.batches(self.setting.width, device=self.setting.device))
        return Sample(*(torch.cat([getattr(p, name) for p in parts]) for name in ("images", "labels", "ids")))

    def breaks(self, attack: Attack, split: Split, threat: Threat, seed: int | None = None) -> Tensor:
        """Return bool (m,): this attack breaks this image, by the verdict of the judge.

        Args:
            attack: Any.
            split: Images that are correct when clean.
            threat: Norm and epsilon.
            seed: Of its chance; the audit's by default.
        """
        if len(split) == 0:
            return torch.zeros(0, dtype=torch.bool)
        plan = AttackPlan((attack,), (threat,), self.setting.seed if seed is None else seed)
        findings = Driver(slots=min(self.setting.width, len(split))).run(self.model, split, plan)
        return torch.tensor([findings.broke(image, 0, 0) is not None for image in split.ids.tolist()])

    @functools.cached_property
    def climber(self) -> Attack | None:
        """The last search of the plan that goes along gradients in several steps; None if there is none."""
        found = [
            search
            for attack in self.plan.searches
            for search in attack.stages(len(self.setting.classes))
            if is_climber(search)
        ]
        return found[-1] if found else None


def is_climber(search: Search[Any]) -> bool:
    """Return whether a search goes along gradients in a number of steps that can be set."""
    course = search.course(10)
    return course.gradients > 1 and course.inside and isinstance(getattr(search, "steps", None), int)
