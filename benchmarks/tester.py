"""Does the audit notice a broken model, and leave an honest one in peace? Every specimen, on the bundled ViT.

    python benchmarks/tester.py                    # 10 to 20 minutes with one thread
    python benchmarks/tester.py --only k_winners   # one of them

A specimen is found if a check that it names as right says "warn" or "fail", or if the audit refuses to give a number.
Spoiled images are those of the honest model, changed on their way from the attack to the checks as a disk would.
Sensitivity is the share of specimens found, specificity the share of honest models about which no check speaks up.
Checks of the number of images (group "statistics") are left out: they are about the data, not the model. The clean
accuracy on validation images is given to every audit as what was claimed; for a broken model, the unbroken one's.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import time
import unittest.mock
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

import robustpeft as rp
from robustpeft.attacks import FGSM, PGD, Stage
from robustpeft.auditing import AuditedData, AuditPlan, run_audit
from robustpeft.auditing.checks import Keepsake
from robustpeft.auditing.specimens import HONEST, SPECIMENS, SPOILED
from robustpeft.data.image_data import ImageData
from robustpeft.errors import UserError
from robustpeft.records import Check, Rate, Subject

ANSWERS: Mapping[str, tuple[str, ...]] = {
    "input_range": ("A1",),
    "normalisation": ("A2",),
    "clean_accuracy": ("A2",),
    "threat_kept": ("A3",),
    "verified_again": ("A4",),
    "eight_bits": ("A5",),
    "eval_mode": ("A6",),
    "model_unchanged": ("A6", "A7"),
    "folded_parity": ("A8",),
    "adapter_active": ("A8",),
    "adapter_gradient": ("A8",),
    "data_identity": ("A9",),
    "label_order": ("A9", "A11"),
    "labels_valid": ("A11",),
    "deterministic": ("B1",),
    "logits": ("B2",),
    "gradient_present": ("B3", "C1"),
    "confidence_in_range": ("B3",),
    "no_inner_optimisation": ("B4",),
    "class_count": ("B5",),
    "gradient_free": ("B6", "D7"),
    "hard_label": ("B6", "D7"),
    "stateless": ("B7",),
    "same_afterwards": ("B7",),
    "gradient_true": ("C1", "D7", "D19"),  # asks outright what D7 concludes from other attacks
    "stable_predictions": ("C2",),
    "same_model": ("C5",),
    "whole_box": ("C6",),
    "several_steps_win": ("D1",),
    "large_radius": ("D5",),
    "noise": ("D7",),
    "other_targets": ("D7",),
    "transfer": ("D9",),
}
"""Which kinds of checks, in the specimens' words, a check of the audit is; those not named are right for none."""


@dataclass(frozen=True)
class Spoken:
    """What an audit said of one model: checks that spoke up by verdict, or why there is no number."""

    failed: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    refused: str = ""
    crashed: str = ""

    def finds(self, expected: tuple[str, ...]) -> bool:
        """Return whether the right check spoke up."""
        kinds = {kind for key in (*self.failed, *self.warned) for kind in ANSWERS.get(key, ())}
        return bool(self.refused) or bool(kinds & set(expected))

    def silent(self) -> bool:
        """Return whether nothing was said at all."""
        return self == Spoken()

    def __str__(self) -> str:
        """Return it as a cell of a table."""
        said = [f"**{key}**" for key in self.failed] + list(self.warned)
        said += [f"refused: {self.refused}"] if self.refused else []
        said += [f"CRASHED: {self.crashed}"] if self.crashed else []
        return ", ".join(said) or "-"


def main() -> None:
    """Audit everything and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--checks", default="brief")
    parser.add_argument("--only", nargs="*", default=())
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)  # every broken model is told of aloud; the tables say it once
    data, honest = rp.load_data("digits"), rp.load_backbone("digits_vit").eval()
    plan = AuditPlan(
        epsilons=(0.02, 0.05),
        attacks=(FGSM(), PGD(steps=20), PGD(steps=20, loss="margin")),
        perturbations=(),
        images=arguments.images,
        gallery=0,
        checks=arguments.checks,
    )
    claimed = rate_of(honest, data)

    only = set(arguments.only) or SPECIMENS.keys() | HONEST.keys() | SPOILED.keys()
    print("| broken model | right checks | found | what the audit said | s |\n|---|---|---|---|---|")
    found: dict[str, bool] = {}
    for specimen in (SPECIMENS[name] for name in SPECIMENS if name in only):
        said, seconds = hear(specimen.build(honest), data, plan, claimed)
        found[specimen.name] = said.finds(specimen.expected)
        verdict = "yes" if found[specimen.name] else "NO" if specimen.must_be_found else "no, need not"
        print(f"| {specimen.name} | {' '.join(specimen.expected)} | {verdict} | {said} | {seconds:.0f} |", flush=True)
    print("\n| spoiled images | right checks | found | what the audit said | s |\n|---|---|---|---|---|")
    noticed: list[bool] = []
    for spoiled in (SPOILED[name] for name in SPOILED if name in only):
        with spoiling(spoiled.spoil):
            said, seconds = hear(honest, data, plan, claimed)
        noticed.append(said.finds(spoiled.expected))
        verdict = "yes" if noticed[-1] else "NO"
        print(f"| {spoiled.name} | {' '.join(spoiled.expected)} | {verdict} | {said} | {seconds:.0f} |", flush=True)
    print("\n| honest model | why suspected | what the audit said | s |\n|---|---|---|---|")
    spoken: dict[str, Spoken] = {}
    for entry in (HONEST[name] for name in HONEST if name in only):
        model = entry.build(honest)
        spoken[entry.name], seconds = hear(model, data, plan, rate_of(model, data))
        print(f"| {entry.name} | {entry.why_suspected} | {spoken[entry.name]} | {seconds:.0f} |", flush=True)
    due = [found[name] for name in found if SPECIMENS[name].must_be_found]
    print(f"\nSensitivity: {sum(due)} of {len(due)} broken models found by a right check.")
    print(f"Spoiled images: {sum(noticed)} of {len(noticed)} kinds found by a right check.")
    calm = sum(said.silent() for said in spoken.values())
    mild = sum(not (said.failed or said.refused or said.crashed) for said in spoken.values())
    print(f"Specificity: {calm} of {len(spoken)} honest models left in peace; {mild} without a check that failed.")


@contextlib.contextmanager
def spoiling(spoil: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """Let the adversarial images that checks look at be spoiled ones."""
    keep = Keepsake.keep

    def keep_spoiled(keepsake: Keepsake, image: int, stage: Stage, point: torch.Tensor) -> None:
        keep(keepsake, image, stage, spoil(point[None])[0])

    with unittest.mock.patch.object(Keepsake, "keep", keep_spoiled):
        yield


def hear(model: nn.Module, data: ImageData, plan: AuditPlan, claimed: Rate) -> tuple[Spoken, float]:
    """Return what an audit says, and its seconds."""
    start = time.perf_counter()
    tuning = {"validation_correct": claimed.count, "validation_images": claimed.n}
    method = {"name": "branch"} if getattr(model, "attachments", ()) else None
    subject = Subject("specimen", "digits_vit", "0" * 64, 0, 0, method=method, tuning=tuning)
    audited = AuditedData(data.name, "test", data.classes)
    try:
        torch.manual_seed(0)
        record = run_audit(model, data.test, plan, subject=subject, data=audited)
        said = Spoken(_keys(record.checks, "fail"), _keys(record.checks, "warn"))
    except UserError as error:
        said = Spoken(refused=str(error).split(";")[0])
    except Exception as error:
        said = Spoken(crashed=f"{type(error).__name__}: {str(error)[:80]}")
    return said, time.perf_counter() - start


def rate_of(model: nn.Module, data: ImageData) -> Rate:
    """Return how many validation images the model classifies correctly."""
    correct = 0
    for batch in data.validation.batches(128):
        with torch.no_grad():
            correct += int((model(batch.images).argmax(dim=1) == batch.labels).sum())
    return Rate(correct, len(data.validation))


def _keys(checks: tuple[Check, ...], verdict: str) -> tuple[str, ...]:
    return tuple(check.key for check in checks if check.verdict == verdict and check.group != "statistics")


if __name__ == "__main__":
    main()
