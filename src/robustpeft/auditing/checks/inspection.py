"""Which checks are made, when, and what if one of them cannot be? Every question gets an answer."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from robustpeft.auditing.checks import (
    adapter,
    answers,
    budget,
    claim,
    convergence,
    design,
    found,
    gradients,
    integrity,
    low_precision,
    normalisation,
    other_routes,
    statistics,
    watching,
)
from robustpeft.auditing.checks.case import Case, Keepsake
from robustpeft.auditing.checks.fingerprint import fingerprint
from robustpeft.auditing.checks.forward_loop import LOOP, no_inner_optimisation
from robustpeft.auditing.checks.question import Question
from robustpeft.auditing.conditions import Condition
from robustpeft.auditing.effort import find_effort
from robustpeft.auditing.measure import Outcome, Setting
from robustpeft.auditing.plan import AuditPlan
from robustpeft.errors import UserError
from robustpeft.records import Check, Rate, Subject
from robustpeft.types import Classifier, gives_gradients

__all__ = ["CHECKS", "Inspection"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """Questions and who answers them.

    Args:
        questions: In the order of the answers.
        ask: Returns one answer, or as many as there are questions.
        early: They can be answered before the first attack.
        gradients: They are about the model's gradients, and not asked of one that gives none.
    """

    questions: tuple[Question, ...]
    ask: Callable[[Case], Check | Sequence[Check]]
    early: bool = False
    gradients: bool = False


CHECKS: tuple[Entry, ...] = (
    Entry((integrity.INPUT_RANGE,), integrity.input_range, early=True),
    Entry((integrity.LABELS,), integrity.labels_valid, early=True),
    Entry((integrity.MODE,), integrity.eval_mode, early=True),
    Entry((normalisation.NORMALISATION,), normalisation.normalisation, early=True),
    Entry((adapter.ACTIVE,), adapter.adapter_active, early=True),
    Entry((adapter.PARITY,), adapter.folded_parity, early=True),
    Entry((answers.DETERMINISTIC,), answers.deterministic, early=True),
    Entry((answers.STATELESS,), answers.stateless, early=True),
    Entry((answers.LOGITS,), answers.logits_not_probabilities, early=True),
    Entry((LOOP,), no_inner_optimisation, early=True),
    Entry((gradients.PRESENT,), gradients.gradient_present, early=True, gradients=True),
    Entry((gradients.TRUE,), gradients.gradient_true, early=True, gradients=True),
    Entry((gradients.CONFIDENCE,), gradients.confidence_in_range, early=True, gradients=True),
    Entry((answers.STABLE,), answers.stable_predictions, early=True),
    Entry((adapter.GRADIENT,), adapter.adapter_gradient, early=True),
    Entry((normalisation.CLEAN,), normalisation.clean_accuracy),
    Entry((claim.CLAIM,), claim.claimed_clean),
    Entry((integrity.ORDER,), integrity.label_order),
    Entry((integrity.IDENTITY,), integrity.data_identity),
    Entry((found.KEPT, found.AGAIN, found.EIGHT_BITS), found.adversarial_images),
    Entry((answers.AFTERWARDS,), answers.same_afterwards),
    Entry((design.BEYOND,), design.beyond_one_step),
    Entry((design.OTHER,), design.not_the_training_attack),
    Entry((design.UNLIKE,), design.unlike_attacks),
    Entry((design.CLASSES,), design.class_count),
    Entry((budget.FALLS,), budget.falls_with_radius),
    Entry((budget.LARGE,), budget.large_radius),
    Entry((budget.BOX,), budget.whole_box),
    Entry((watching.SILENT, watching.FINISHED, watching.SAME), watching.watched_attack),
    Entry((convergence.SEVERAL,), convergence.several_steps_win),
    Entry((low_precision.PRECISION,), low_precision.low_precision),
    Entry((convergence.STEPS,), convergence.more_steps),
    Entry((convergence.STARTS,), convergence.more_starts),
    Entry((convergence.SIZES,), convergence.step_sizes),
    Entry((convergence.TARGETS,), convergence.other_targets),
    Entry((other_routes.FREE,), other_routes.gradient_free),
    Entry((other_routes.LABELS,), other_routes.hard_label),
    Entry((other_routes.NOISE,), other_routes.noise),
    Entry((other_routes.TRANSFER, other_routes.UNDEFENDED), other_routes.transfer),
    Entry((statistics.INTERVAL,), statistics.narrow_interval),
    Entry((statistics.EVEN,), statistics.even_classes),
    Entry((integrity.UNCHANGED,), integrity.model_unchanged),
)
"""In the order in which they are made and shown; the last one looks at what the others did too."""


@dataclass(frozen=True)
class Inspection:
    """The checks of one audit: begun before the attacks, finished after them.

    Args:
        case: What was known at the beginning; None if no checks are wanted.
        early: Answers that need no attack.
        keepsake: Where the attacks leave what later checks need.
    """

    case: Case | None
    early: Mapping[str, Check] = field(default_factory=dict)
    keepsake: Keepsake = field(default_factory=lambda: Keepsake(0))

    @classmethod
    def begin(cls, model: Classifier, setting: Setting, plan: AuditPlan, subject: Subject) -> Inspection:
        """Return the inspection after the checks that need no attack; what fails is said aloud at once.

        Args:
            model: As it was given.
            setting: What stays the same for all conditions.
            plan: Says how thorough the checks are.
            subject: What the record says of the model; its tuning may say how many validation images were right.
        """
        effort = find_effort(plan.checks)
        if effort is None:
            return cls(None)
        stages = max(1, len(plan.attacks) * len(plan.epsilons) + len(plan.widest))
        keepsake = Keepsake(max(2, effort.images // stages))
        then = _validation(subject)
        case = Case(model, setting, plan, subject, effort, fingerprint(model), then, keepsake=keepsake)
        early = {check.key: check for entry in CHECKS if entry.early for check in _asked(entry, case)}
        for check in early.values():
            if check.verdict == "fail":
                _log.warning("%s: this does not hold. %s %s", check.title, check.evidence, check.remedy)
        return cls(case, early, keepsake)

    def finish(self, outcomes: Mapping[Condition, Outcome]) -> tuple[Check, ...]:
        """Return all answers, in the order of `CHECKS`; none if none were wanted.

        Args:
            outcomes: What came of all conditions.
        """
        if self.case is None:
            return ()
        case = dataclasses.replace(self.case, outcomes=outcomes)
        answered: list[Check] = []
        for entry in CHECKS:
            if entry.early:
                answered += [self.early[question.key] for question in entry.questions]
            else:
                answered += _asked(entry, case)
        return tuple(answered)


def _validation(subject: Subject) -> Rate | None:
    correct, images = (subject.tuning.get(f"validation_{what}") for what in ("correct", "images"))
    return Rate(correct, images) if isinstance(correct, int) and isinstance(images, int) else None


def _asked(entry: Entry, case: Case) -> list[Check]:
    """Return the answers; in doubt if the check itself fails, for that must not cost hours of attacks."""
    if entry.gradients and not gives_gradients(case.model):
        return [question.skips("The model answers, and gives no gradients to look at.") for question in entry.questions]
    devices = [case.setting.device] if case.setting.device.type == "cuda" else []
    try:
        with torch.inference_mode(False), torch.random.fork_rng(devices):
            answer = entry.ask(case)
    except (UserError, RuntimeError) as error:
        return [question.warns(f"The check could not be made: {error}") for question in entry.questions]
    return [answer] if isinstance(answer, Check) else list(answer)
