"""What does the model answer under attack? The driver breaks what can be broken; here its findings become outcomes."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from robustpeft.attacks import (
    PGD,
    Attack,
    AttackPlan,
    Driver,
    DriverProgress,
    Findings,
    Search,
    Square,
    Stage,
    search_again,
)
from robustpeft.attacks.candidates import Candidates
from robustpeft.attacks.findings import CANDIDATE
from robustpeft.attacks.kept_images import KeptImages
from robustpeft.auditing.checks import Keepsake
from robustpeft.auditing.conditions import Condition
from robustpeft.auditing.effort import find_effort
from robustpeft.auditing.measure import Answer, Outcome, Setting
from robustpeft.auditing.plan import AuditPlan
from robustpeft.auditing.progress import Pace
from robustpeft.auditing.siblings import measure_siblings
from robustpeft.types import Batch, Classifier, gives_gradients, passes_dtype

__all__ = ["Attacked", "attack_plan", "attack_places", "keep_beside", "measure_attacks"]

_SHORT = 200  # passes of a search that may be spent on an image to look at


@dataclass(frozen=True)
class Attacked:
    """What is to be attacked.

    Args:
        model: Attacked through its frozen view, judged as it is.
        plan: Attacks and radii.
        conditions: Those of the plan that are attacks, attack by attack, radii ascending; then its black boxes.
        ledger: Directory in which every result is kept as soon as it is there; None keeps them in memory.
        keepsake: Where what the checks need is left.
        seal: Digest of what was fixed beforehand, for the ledger.
        candidates: Images found against other models, which are tried first.
    """

    model: Classifier
    plan: AuditPlan
    conditions: Sequence[Condition]
    ledger: Path | None = None
    keepsake: Keepsake = field(default_factory=lambda: Keepsake(0))
    seal: str = ""
    candidates: Sequence[Candidates] = ()

    @functools.cached_property
    def places(self) -> dict[tuple[int, int], Condition]:
        """The conditions by the numbers of their attack and threat."""
        return attack_places(self.plan, self.conditions)


def attack_plan(plan: AuditPlan, seed: int) -> AttackPlan:
    """Return what the driver is to do for an audit."""
    return AttackPlan(
        plan.attacks, plan.threats, seed, plan.widest, plan.black_box, narrow_images=plan.black_box_images
    )


def attack_places(plan: AuditPlan, conditions: Sequence[Condition]) -> dict[tuple[int, int], Condition]:
    """Return the conditions that are attacks, as `conditions_of` orders them, by the numbers of attack and threat."""
    attacks = attack_plan(plan, 0)
    places = [(attack, threat) for attack in range(len(attacks.all_attacks)) for threat in attacks.threats_of(attack)]
    return dict(zip(places, conditions, strict=True))


def measure_attacks(attacked: Attacked, setting: Setting, clean: Outcome, pace: Pace) -> dict[Condition, Outcome]:
    """Return the model's predictions under every attack at every radius.

    An image that is misclassified as it is is not attacked: its prediction stands. One that an attack broke within a
    smaller radius counts as broken within a larger one too.

    Cost:
        See `Driver.run`; and, for the images that are shown, one short attack more.
    """
    if not attacked.conditions:
        return {}
    plan = attack_plan(attacked.plan, setting.seed)
    keeper = _Keeper(attacked, setting, pace)
    driver = Driver(
        slots=setting.width,
        directory=attacked.ledger,
        keep_images="none" if _kept_in(attacked) is None else "first",
        observer=keeper.tell,
        on_found=keeper.keep,
        on_end=attacked.keepsake.see,
        seal=attacked.seal,
        precision=attacked.plan.precision,
        candidates=attacked.candidates,
        on_candidate=keeper.keep_candidate,
    )
    findings = driver.run(attacked.model, setting.split, plan)
    attacked.keepsake.findings = findings
    effort = find_effort(attacked.plan.checks)
    if effort is not None and passes_dtype(attacked.plan.precision, setting.device) is not None:
        quiet = dataclasses.replace(driver, keep_images="none")
        attacked.keepsake.missed = search_again(quiet, attacked.model, setting.split, findings, effort.images)
    outcomes = {
        condition: _outcome(condition, place, findings, setting, clean) for place, condition in attacked.places.items()
    } | measure_siblings(attacked.plan, findings, setting, clean)
    if plan.attacks:
        last = attacked.places[plan.last, len(plan.threats) - 1]
        keeper.find_again(findings, plan)
        outcomes[last].answers.update(keeper.answers(last))
    return outcomes


def keep_beside(attacked: Attacked, findings: Findings | None, who: str) -> Callable[[int, int, Tensor], None] | None:
    """Return what keeps, beside those of the driver, the images that only somebody else broke within some radius.

    Args:
        attacked: What the driver did.
        findings: What came of it.
        who: Found the others.

    Returns:
        Called with the id of an image, the number of the radius (-1: the last) and the adversarial image (3, h, w).
    """
    directory = _kept_in(attacked)
    if directory is None or findings is None:
        return None
    files = KeptImages(directory, 0)

    def keep(image: int, threat: int, point: Tensor) -> None:
        if findings.worst(image, threat % len(attacked.plan.threats)) is None:
            files.save(f"{who}@{attacked.plan.threats[threat]}", {image: point})

    return keep


def _kept_in(attacked: Attacked) -> Path | None:
    return attacked.ledger if attacked.plan.keep_images else None


def _outcome(
    condition: Condition, place: tuple[int, int], findings: Findings, setting: Setting, clean: Outcome
) -> Outcome:
    attack, threat = place
    predictions, borrowed = clean.predictions.clone(), Counter[str]()
    for row, (image, label) in enumerate(zip(setting.split.ids.tolist(), setting.split.labels.tolist(), strict=True)):
        broken = findings.broke(image, attack, threat)
        if broken is not None and int(predictions[row]) == label:
            predictions[row] = broken.prediction
            if broken.stage.startswith(f"{CANDIDATE}@"):
                borrowed[broken.extra] += 1
    keys = {s.key(findings.plan) for s in findings.stages if (s.attack, s.threat) == place}
    rows = [row for row in findings.rows.values() if row.stage in keys]
    asked = {row.image: row.step for row in rows if row.broken} if condition.queries is not None else {}
    among = findings.plan.images_of(attack, setting.split.labels, setting.split.ids)
    tried = torch.tensor([image in among for image in setting.split.ids.tolist()])
    return Outcome(
        predictions,
        {},
        sum(row.forwards for row in rows),
        sum(row.backwards for row in rows),
        sum(row.seconds for row in rows),
        asked,
        borrowed=dict(borrowed),
        tried=None if bool(tried.all()) else tried,
    )


class _Keeper:
    """Tells how far the attacks are, and keeps the images that are to be shown."""

    def __init__(self, attacked: Attacked, setting: Setting, pace: Pace) -> None:
        self._attacked, self._setting, self._pace = attacked, setting, pace
        self._shown = set(setting.shown.tolist())
        self._points: dict[int, Tensor] = {}
        self._start = time.perf_counter()

    def tell(self, progress: DriverProgress) -> None:
        """Pass on where the driver stands: of an attack in stages, an image is done when its last stage is."""
        stage = progress.stage
        condition = self._attacked.places[stage.attack, stage.threat]
        attack = condition.change
        assert isinstance(attack, Attack)
        over = progress.ended and stage.number + 1 == len(attack.stages(len(self._setting.classes)))
        n = self._pace.images_of(condition)
        left = 0 if over else max(progress.images - progress.done, 1)
        if left == n:
            return
        correct = max(progress.correct - left, 0)
        self._pace.tell(condition, n - left, correct, time.perf_counter() - self._start)
        if over:
            self._start = time.perf_counter()

    def keep(self, image: int, stage: Stage, point: Tensor) -> None:
        """Keep an image that broke the model, if it is one to be shown and the attack is the one to be shown."""
        self._attacked.keepsake.keep(image, stage, point)
        if image in self._shown and stage.attack == len(self._attacked.plan.searches) - 1:
            self.remember(image, point)

    def keep_candidate(self, image: int, threat: int, point: Tensor) -> None:
        """Keep an image found against another model that broke this one: no attack is begun on it any more."""
        self._attacked.keepsake.keep_at(image, -1, threat, point)
        if image in self._shown:
            self.remember(image, point)

    def find_again(self, findings: Findings, plan: AttackPlan) -> None:
        """Break once more the shown images that were broken before the audit was broken off and went on."""
        attack, threat = plan.last, len(plan.threats) - 1
        lost = [
            place
            for place, image in enumerate(self._setting.split.ids.tolist())
            if image in self._shown - self._points.keys() and findings.broke(image, attack, threat) is not None
        ]
        if lost:
            threats = tuple(plan.threats[number] for number in plan.threats_of(attack))
            again = AttackPlan((plan.all_attacks[attack],), threats, plan.seed)
            driver = Driver(
                slots=self._setting.width,
                on_found=lambda image, _, point: self.remember(image, point),
                candidates=self._attacked.candidates,
                on_candidate=lambda image, _, point: self.remember(image, point),
            )
            driver.run(self._attacked.model, self._setting.split.subset(torch.tensor(lost)), again)

    def remember(self, image: int, point: Tensor) -> None:
        """Keep an image that broke the model."""
        self._points[image] = point

    def answers(self, condition: Condition) -> Mapping[int, Answer]:
        """Return what is shown under this condition: what broke the image, or the best of a short attack if it held."""
        attack, threat = condition.change, condition.threat
        assert threat is not None
        other = PGD() if gives_gradients(self._attacked.model) else Square(queries=_SHORT)
        short = attack if isinstance(attack, Search) and attack.course(0).passes <= _SHORT else other
        judge = self._setting.judge
        found: dict[int, Answer] = {}
        for batch in _shown_batches(self._setting):
            tried = short(
                self._attacked.model, batch.images, batch.labels, threat, seed=self._setting.seed, ids=batch.ids
            )
            images = torch.stack([self._points.get(image, tried[row]) for row, image in enumerate(batch.ids.tolist())])
            verdict = judge(images, batch.labels)
            for row, image in enumerate(batch.ids.tolist()):
                found[image] = Answer(images[row].cpu(), verdict.logits[row])
        return found


def _shown_batches(setting: Setting) -> Sequence[Batch]:
    places = torch.isin(setting.split.ids, setting.shown).nonzero().flatten()
    return list(setting.split.subset(places).batches(setting.width, device=setting.device)) if len(places) else []
