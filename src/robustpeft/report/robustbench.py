"""How does an audit stand beside the models of RobustBench? As a file of its ``model_info``; what does not fit is said.

Source:
    Croce et al. 2021, arXiv:2010.09670, and the JSON files in ``model_info`` of its repository: numbers are strings in
    percent, epsilon is written as a fraction of 255.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from robustpeft.errors import UserError
from robustpeft.records import AuditRecord, Measurement, Rate
from robustpeft.report.headline import headline, publishable
from robustpeft.report.wording import data_text, interval_text, number_text
from robustpeft.report.worst_case import MainThreat, attack_names, attacks_at, main_threats, worst_case

__all__ = ["RobustBenchEntry", "robustbench_entry"]

_DATASETS = ("cifar10", "cifar100", "imagenet")
_IMAGES = {"cifar10": 10_000, "cifar100": 10_000, "imagenet": 5_000}
_NORMS = {"linf": "Linf", "l2": "L2"}


@dataclass(frozen=True)
class RobustBenchEntry:
    """One audit in the words of RobustBench.

    Args:
        place: Where such a file lies there, for example ``cifar10/Linf``.
        fields: Its content, plain data.
        left_out: What RobustBench asks for or means and this audit does not say; a sentence each.
    """

    place: str
    fields: dict[str, Any]
    left_out: tuple[str, ...]


def robustbench_entry(record: AuditRecord) -> RobustBenchEntry:
    """Return an audit in the fields of RobustBench, at the first norm that both know.

    ``autoattack_acc`` is given only if standard AutoAttack was run at the largest radius; what else was found stands
    in ``reported`` and is named in the footnote.

    Raises:
        UserError: If the audit's checks forbid a number, or nothing was attacked in Linf or L2.
    """
    if not publishable([record]):
        raise UserError(headline(record).sentence)
    threat = next((t for t in main_threats([record]) if t.norm in _NORMS), None)
    case = worst_case(record, threat) if threat else None
    if threat is None or case is None:
        raise UserError(f"{record.subject.label} was not attacked in Linf or L2, the threats that RobustBench knows")
    dataset = record.data.name.lower().replace("-", "").replace("_", "")
    standard = _standard(record, threat)
    fields: dict[str, Any] = {
        "name": record.subject.label,
        "dataset": dataset if dataset in _DATASETS else record.data.name,
        "architecture": record.subject.backbone,
        "eps": number_text(threat.epsilon),
        "clean_acc": _percent(record["clean"].correct),
        "reported": _percent(case.correct),
        "number_forward_passes": 1,
    }
    if standard is not None:
        fields["autoattack_acc"] = _percent(standard.correct)
    fields |= {"footnote": _footnote(record, case.attacks, case.correct), "unreliable": _is_unreliable(record)}
    return RobustBenchEntry(
        f"{dataset}/{_NORMS[threat.norm]}", fields, _left_out(record, dataset, standard is not None)
    )


def _standard(record: AuditRecord, threat: MainThreat) -> Measurement | None:
    return next(
        (
            measurement
            for measurement in attacks_at(record, threat)
            if measurement.name == "autoattack" and measurement.settings.get("version", "standard") == "standard"
        ),
        None,
    )


def _is_unreliable(record: AuditRecord) -> bool:
    """Return whether a check of the model or of the attacks' strength failed."""
    return headline(record).kind == "upper_bound"


def _footnote(record: AuditRecord, attacks: tuple[Measurement, ...], kept: Rate) -> str:
    tried = ", ".join(attack_names(record, attacks))
    tuned = record.subject.num_trained
    sentences = [
        f"Evaluated by robustpeft on {data_text(record.data)}: clean {interval_text(record['clean'].correct)}, robust "
        f"{interval_text(kept)} (95 % intervals). Reported is the worst case over {tried}.",
    ]
    if tuned:
        sentences.append(f"{tuned:,} of {record.subject.num_parameters:,} parameters were trained.")
    return " ".join(sentences)


def _left_out(record: AuditRecord, dataset: str, has_autoattack: bool) -> tuple[str, ...]:
    sentences = [
        "link, authors, venue and additional_data are not known to an audit: fill them in.",
        "number_forward_passes is 1 because one call of the model answers; passes inside of it are not counted.",
    ]
    if not has_autoattack:
        sentences.append(
            "autoattack_acc is left out: standard AutoAttack was not run at the largest radius (--profile standard)."
        )
    if dataset not in _DATASETS:
        sentences.append(f"RobustBench has no data set {record.data.name!r}; it knows {', '.join(_DATASETS)}.")
    elif record.data.n != _IMAGES[dataset]:
        sentences.append(f"RobustBench evaluates {_IMAGES[dataset]:,} images; these are {record.data.n:,}.")
    if record.of("perturbation"):
        sentences.append("Perturbations and corruptions of the audit have no field here.")
    if len(main_threats([record])) > 1:
        sentences.append("One file holds one norm; the audit's other norms are not in it.")
    return tuple(sentences)


def _percent(rate: Rate) -> str:
    return f"{100 * rate.fraction:.2f}"
