"""What did audits of other models on the same images find? It is tried first, before any search of this audit begins.

Adapters of one backbone often fall to the same images. What a sibling's record keeps beside it costs one forward an
image to try, where a search may cost thousands; and whatever the judge confirms is broken is broken, whoever found it.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from robustpeft.attacks import Findings
from robustpeft.attacks.candidates import Candidates
from robustpeft.attacks.findings import candidate_stage
from robustpeft.auditing.conditions import Condition
from robustpeft.auditing.kept_files import file_digest, read_packed
from robustpeft.auditing.measure import Outcome, Setting
from robustpeft.auditing.plan import AuditPlan
from robustpeft.errors import UserError
from robustpeft.records import KeptFile, Seal, read_record
from robustpeft.types import THREATS, look_up, parse_norm

__all__ = ["Sibling", "check_siblings", "measure_siblings", "read_siblings", "sibling_conditions"]


@dataclass(frozen=True)
class Sibling:
    """The record of another audit, and what lies beside it.

    Args:
        label: Of its model.
        seal: What was fixed before its attacks.
        directory: Where it lies.
        files: Its adversarial images.
    """

    label: str
    seal: Seal
    directory: Path
    files: tuple[KeptFile, ...]

    @property
    def source(self) -> str:
        """How the ledger names it: label and beginning of the seal's digest."""
        return f"{self.label} ({self.seal.digest[:12]})"

    def candidates(self, norm: str) -> list[Candidates]:
        """Return its images of this norm, as a plan writes it, one value for each radius.

        Raises:
            UserError: If a file is not there, or was changed since it was written.
        """
        found = []
        for kept in (kept for kept in self.files if kept.threat.get("norm") == parse_norm(norm)[0]):
            path = self.directory / kept.file
            if not path.is_file() or file_digest(path) != kept.sha256:
                what = "was changed since it was written" if path.is_file() else "is not there"
                raise UserError(
                    f"{path} {what}, so the images found against {self.label} cannot be tried; leave it out"
                )
            fields = {name: value for name, value in kept.threat.items() if name != "norm"}
            threat = look_up(THREATS, parse_norm(norm)[0], "norm")(**fields)
            found.append(Candidates(self.source, threat, functools.partial(read_packed, path)))
        return found


def read_siblings(plan: AuditPlan) -> tuple[Sibling, ...]:
    """Return the audits that a plan names.

    Raises:
        UserError: If one is not there, damaged, or has no seal.
    """
    found = []
    for name in plan.siblings if plan.attacks else ():
        path = Path(name)
        record = read_record(path)
        if record.seal is None:
            raise UserError(f"{path} was made by an earlier version and does not say on which pixels; leave it out")
        directory = path if path.is_dir() else path.parent
        found.append(Sibling(record.subject.label, record.seal, directory, record.adversarial))
    return tuple(found)


def check_siblings(siblings: Sequence[Sibling], seal: Seal) -> None:
    """Raise unless all were audited on exactly these images.

    Raises:
        UserError: Naming the first that was not.
    """
    for sibling in siblings:
        if (sibling.seal.data, sibling.seal.pixels) != (seal.data, seal.pixels):
            raise UserError(
                f"{sibling.directory} is an audit of other images ({sibling.seal.images}, this one has {seal.images}); "
                "what was found there cannot be tried here"
            )


def sibling_conditions(plan: AuditPlan) -> tuple[Condition, ...]:
    """Return one condition for each radius, under which images come from siblings; none if the plan names none."""
    if not (plan.siblings and plan.attacks):
        return ()
    return tuple(Condition(candidate_stage(t).replace(" ", ":"), None, t, source="sibling") for t in plan.threats)


def measure_siblings(plan: AuditPlan, findings: Findings, setting: Setting, clean: Outcome) -> dict[Condition, Outcome]:
    """Return the model's predictions on the images of siblings, from what the driver found about them.

    An image of which a sibling kept nothing keeps the prediction of the clean one.
    """
    outcomes = {}
    for threat, condition in enumerate(sibling_conditions(plan)):
        predictions, sources = clean.predictions.clone(), Counter[str]()
        for row, (image, label) in enumerate(
            zip(setting.split.ids.tolist(), setting.split.labels.tolist(), strict=True)
        ):
            broken = findings.candidate(image, threat)
            if broken is not None and int(predictions[row]) == label:
                predictions[row] = broken.prediction
                sources[broken.extra] += 1
        rows = [row for row in findings.rows.values() if row.stage == candidate_stage(plan.threats[threat])]
        outcomes[condition] = Outcome(
            predictions,
            {},
            sum(row.forwards for row in rows),
            0,
            sum(row.seconds for row in rows),
            note=_note(sources),
            borrowed=dict(sources),
        )
    return outcomes


def _note(sources: Mapping[str, int]) -> str:
    if not sources:
        return "Images found against siblings were tried first, and none broke this model."
    listed = ", ".join(f"{count} of {source}" for source, count in sources.items())
    return f"Images found against siblings were tried first, and these broke this model: {listed}. No search was begun."
