"""What does the first minute show? A frozen model that falls, an adapter that does not help, and one that does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from robustpeft.attacks import FGSM, PGD
from robustpeft.auditing import AuditPlan, Progress as AuditProgress
from robustpeft.backbones import Backbone, ImageClassifier
from robustpeft.data import Digits, ImageData
from robustpeft.records import AuditRecord
from robustpeft.report import write_report
from robustpeft.study.audit_model import audit
from robustpeft.study.recipe import read_recipe
from robustpeft.study.run_directory import prepare_directory
from robustpeft.study.tune import tune_recipe
from robustpeft.training import Progress

__all__ = ["DEMO_PLAN", "Demo", "Reporter", "demo"]

DEMO_PLAN = AuditPlan(epsilons=(0.02, 0.05, 0.1), attacks=(FGSM(), PGD(steps=20)), images=None, checks="brief")
"""How the demo judges: FGSM and PGD-20 at three radii, four perturbations, all 359 test images."""

_ARMS = {"LoRA, ordinary": "lora-digits", "FullLoRA, adversarial": "fulllora-digits"}
_FULL_ARM = {"full tuning, adversarial": "full-digits"}


@dataclass(frozen=True)
class Demo:
    """What the demo found.

    Args:
        records: One audit per model, the undefended one first.
        report: Path of the HTML page.
    """

    records: tuple[AuditRecord, ...]
    report: Path


class Reporter(Protocol):
    """Who is told how it goes."""

    def phase(self, title: str) -> None:
        """A new phase begins."""
        ...

    def tuning(self, progress: Progress) -> None:
        """A step of tuning is done."""
        ...

    def auditing(self, progress: AuditProgress) -> None:
        """A batch of an audit is done."""
        ...


def demo(
    output: Path, *, with_full: bool = False, seed: int = 0, overwrite: bool = False, reporter: Reporter | None = None
) -> Demo:
    """Tune and audit on the bundled digits, and write the report.

    Args:
        output: Directory for runs, records and report.
        with_full: Tune the whole network adversarially too.
        seed: Of all randomness.
        overwrite: Replace an earlier demo there.
        reporter: Who is told how it goes.

    Cost:
        Two to three minutes on two CPU cores; one more with full tuning.
    """
    prepare_directory(output, resume=False, overwrite=overwrite)
    images = Digits().load((16, 16))
    records = [_judge(Backbone().load(), "undefended", output / "undefended", images, seed, reporter)]
    for label, recipe in (_ARMS | (_FULL_ARM if with_full else {})).items():
        if reporter:
            reporter.phase(f"tuning: {label}")
        run = tune_recipe(
            read_recipe(recipe, [f"seed={seed}", "training.validations=4"]),
            output / recipe,
            device="cpu",
            observer=reporter.tuning if reporter else None,
        )
        records.append(_judge(run.model, label, output / recipe, images, seed, reporter))
    return Demo(tuple(records), write_report(records, output))


def _judge(
    model: ImageClassifier, label: str, directory: Path, images: ImageData, seed: int, reporter: Reporter | None
) -> AuditRecord:
    if reporter:
        reporter.phase(f"audit: {label}")
    return audit(
        model,
        images,
        plan=DEMO_PLAN,
        label=label,
        output=directory,
        seed=seed,
        observer=reporter.auditing if reporter else None,
    )
