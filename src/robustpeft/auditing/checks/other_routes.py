"""Does anything that needs no gradient of the model break what its gradients did not? Then they mislead."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from robustpeft.attacks import PGD, HardLabel, Search, Square
from robustpeft.auditing.checks.case import Case
from robustpeft.auditing.checks.counting import judge_gain
from robustpeft.auditing.checks.question import Question
from robustpeft.records import Check
from robustpeft.types import Attackable, Noise, attack_view

__all__ = ["gradient_free", "hard_label", "noise", "transfer"]

_REMEDY = "Gradients mislead here: attack with autoattack and more queries, transfer from other models."

FREE = Question(
    "gradient_free", "A search without gradients breaks nothing that gradients did not", "strength", _REMEDY
)
LABELS = Question("hard_label", "A search by labels alone breaks nothing that gradients did not", "strength", _REMEDY)
NOISE = Question("noise", "Random noise breaks nothing that the attacks did not", "strength", _REMEDY)
TRANSFER = Question("transfer", "Images made for the model without its adapter break nothing more", "strength", _REMEDY)
UNDEFENDED = Question(
    "breaks_undefended",
    "The same attack breaks the model without its adapter",
    "strength",
    "An attack that cannot break an undefended model says nothing of a defended one: look at its settings.",
)


def gradient_free(case: Case) -> Check:
    """Return whether Square breaks none of the images that held, and in the plan none that gradients did not.

    Where the plan has a search without gradients, what it alone broke counts, on all images.

    Cost:
        As many forwards as the effort has queries, for every survivor of the sample.

    Source: Carlini et al. 2019, arXiv:1902.06705, Section 4; Square better than the white box: flags of AutoAttack,
    with a tolerance of 0.2 points.
    """
    if case.threat is None:
        return FREE.skips("No attack was tried.")
    if case.climber is None:
        return FREE.skips("The plan has no attack along gradients to compare with.")
    alone, tried = _alone(case, labels_only=False)
    asked = _asked(case, labels_only=False)
    if tried and (said := _of_those_asked(FREE, alone, asked, "Searches without gradients")):
        return said
    if case.plan.black_box and asked == len(case.held):
        return FREE.passes(f"Searches without gradients break {alone} of {asked} images that others did not.")
    attack = Square(queries=case.effort.queries)
    gained = int(case.breaks(attack, case.survivors, case.threat).sum())
    return judge_gain(FREE, case, gained, f"Square with {attack.queries} queries")


def hard_label(case: Case) -> Check:
    """Return whether a search that is told the predicted class alone breaks nothing that gradients did not.

    Where the plan has one, what it alone broke counts, on all images; else, in the profile full, the survivors of the
    sample are searched. What falls to the least informed attacker cannot have been robust: then the gradients lied.

    Cost:
        As many forwards as the effort has queries, for every survivor of the sample.

    Source: Carlini et al. 2019, arXiv:1902.06705, Section 4 (apply hard-label attacks; they must do worse).
    """
    if case.threat is None or case.climber is None:
        return LABELS.skips("The plan has no attack along gradients to compare with.")
    if case.threat.norm not in ("linf", "l2"):
        return LABELS.skips("The search by labels is written for Linf and L2.")
    alone, tried = _alone(case, labels_only=True)
    asked = _asked(case, labels_only=True)
    if tried and (said := _of_those_asked(LABELS, alone, asked, "Searches by labels alone")):
        return said
    if tried:
        return LABELS.passes(f"Searches by labels alone break {alone} of {asked} images that gradients did not.")
    if not case.effort.labels:
        return LABELS.skips("Tried in the profile full.")
    attack = HardLabel(queries=case.effort.queries)
    gained = int(case.breaks(attack, case.survivors, case.threat).sum())
    return judge_gain(LABELS, case, gained, f"A search by labels with {attack.queries} queries")


def noise(case: Case) -> Check:
    """Return whether random perturbations break none of the images that held: half in the ball, half at its corners.

    Cost:
        As many forwards as the effort has draws, for every survivor of the sample.

    Source: Carlini et al. 2019, arXiv:1902.06705, Section 4, with 10,000 draws and more; ours are fewer.
    """
    if case.threat is None:
        return NOISE.skips("No attack was tried.")
    broken = torch.zeros(len(case.survivors), dtype=torch.bool)
    if len(broken):
        sample = case.load(case.survivors)
        chance = Noise(case.setting.seed, sample.ids, "noise check")
        shape = tuple(sample.images.shape[1:])
        for draw in range(case.effort.draws):
            delta = case.threat.random(chance.at(step=draw), shape).to(sample.images.dtype)
            if draw % 2:
                delta = case.threat.epsilon * case.threat.ascend(delta)
            points = case.threat.within(sample.images, sample.images + delta)
            broken |= case.setting.judge(points, sample.labels).margins > 0
    return judge_gain(NOISE, case, int(broken.sum()), f"Random noise ({case.effort.draws} draws)")


def transfer(case: Case) -> tuple[Check, Check]:
    """Return whether PGD on the model without its adapter breaks that one, and none of the images that held.

    Cost:
        21 forwards and 20 backwards for every survivor of the sample, or for the sample if nothing survived.

    Source: Carlini et al. 2019, arXiv:1902.06705, Section 4 (transfer from similar models; attacks must break the
    undefended model).
    """
    model = case.model
    if case.threat is None or case.subject.method is None or not isinstance(model, Attackable):
        why = "No attack was tried." if case.threat is None else "The model has no adapter to leave out."
        return TRANSFER.skips(why), UNDEFENDED.skips(why)
    sample = case.load(case.survivors) if len(case.survivors) else case.sample
    with model.disabled():
        twin = attack_view(model)
    before = _wrong(twin, sample.images, sample.labels)
    points = PGD(steps=20, loss="margin")(
        twin, sample.images, sample.labels, case.threat, seed=case.setting.seed, ids=sample.ids
    )
    after = _wrong(twin, points, sample.labels)
    right, left = int((~before).sum()), int((~after & ~before).sum())
    found = f"Without its adapter {right} of {len(sample)} images are right, {left} under PGD at {case.threat}."
    if right == 0:
        undefended = UNDEFENDED.skips(found)
    else:
        say = UNDEFENDED.warns if 2 * left > right else UNDEFENDED.passes
        undefended = say(found)
    gained = int((case.setting.judge(points, sample.labels).margins > 0).sum()) if len(case.survivors) else 0
    return judge_gain(TRANSFER, case, gained, "Transfer from the model without its adapter"), undefended


@torch.no_grad()
def _wrong(view: Any, images: Tensor, labels: Tensor) -> Tensor:
    wrong: Tensor = view(images).argmax(dim=1) != labels
    return wrong


def _of_those_asked(question: Question, alone: int, asked: int, who: str) -> Check | None:
    """Return the answer to who alone broke so many of the images asked about; None if that is within 0.2 points."""
    if alone <= 0.002 * asked:
        return None
    say = question.fails if alone > 0.005 * asked + 1 else question.warns
    return say(f"{who} break {alone} images that attacks along gradients did not.")


def _asked(case: Case, *, labels_only: bool) -> int:
    """Return on how many images searches without gradients, or by labels alone, were tried at least."""
    stages = [stage for attack in case.plan.searches for stage in attack.stages(len(case.setting.classes))]
    everywhere = any(_is_free(stage) and labels_only <= _is_blind(stage) for stage in stages)
    most = None if everywhere else case.plan.black_box_images
    return len(case.held) if most is None else min(most, len(case.held))


def _alone(case: Case, *, labels_only: bool) -> tuple[int, bool]:
    """Return how many images searches without gradients broke at the main threat and no other did; were there any?

    Images that those of other models broke are left out: searches along gradients did not begin on them.
    """
    findings = case.keepsake.findings
    if findings is None:
        return 0, False
    free = {s.key(findings.plan) for s in findings.stages if _is_free(s.search) and labels_only <= _is_blind(s.search)}
    guided = {s.key(findings.plan) for s in findings.stages if not _is_free(s.search)}
    by_free = {row.image for row in findings.rows.values() if row.broken and row.stage in free}
    by_guided = {row.image for row in findings.rows.values() if row.broken and row.stage in guided}
    last = len(findings.plan.threats) - 1
    alone = {image for image in by_free - by_guided if findings.candidate(image, last) is None}
    return len(alone), bool(free) and bool(guided)


def _is_blind(search: Search[Any]) -> bool:
    return search.course(10).labels_only


def _is_free(search: Search[Any]) -> bool:
    return search.course(10).gradients == 0
