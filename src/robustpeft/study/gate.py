"""May this model be released? Its record against a policy, at the pessimistic end of every 95 % interval."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from robustpeft.auditing.checks import CHECKS
from robustpeft.auditing.consistency import Dossier, check_consistency
from robustpeft.errors import UserError, nearest_hint
from robustpeft.records import (
    AuditRecord,
    Check,
    Measurement,
    Paired,
    Rate,
    attacked_by_queries_alone,
    read_record,
)
from robustpeft.records.check import GROUPS
from robustpeft.records.gate_result import Demand, GateResult, Judgement
from robustpeft.records.verification import Outcome, Verification
from robustpeft.report.headline import headline
from robustpeft.report.story import listing
from robustpeft.report.wording import percent_text, rate_text, threat_text
from robustpeft.report.worst_case import MainThreat, only_beyond, withstood_by_class
from robustpeft.study.audit_model import LEDGER
from robustpeft.study.policy import AtThreat, Drop, Policy, Price, read_policy
from robustpeft.study.price import price

__all__ = ["gate"]

_JUDGED: Mapping[Outcome, Judgement] = {"confirmed": "pass", "refuted": "fail", "unchecked": "unknown"}
_GRADIENT = "gradient_present"
"""The check to waive for a model that gives no gradients."""
_WORDS = {"pass": "holds", "warn": "in doubt", "fail": "fails", "not_applicable": "not asked"}


def gate(record: str | Path, policy: Policy | str | Path, *, now: datetime | None = None) -> GateResult:
    """Return whether a record meets a policy, demand by demand.

    A record of which a check of integrity failed meets none. Where a check of the model or of the attacks failed and is
    not waived, robust accuracy is only an upper bound, and a least share cannot be shown.

    Args:
        record: The directory of a record, or its ``audit.json``.
        policy: What is asked, or the path of a YAML file.
        now: For the age of the audit; the present by default.

    Raises:
        UserError: If record or policy cannot be read, the record was changed, or the policy names a check that there is
            not or waives one of integrity.
    """
    path = Path(record)
    asked = policy if isinstance(policy, Policy) else read_policy(policy)
    home = Path() if isinstance(policy, Policy) else Path(policy).parent
    case = _Case(read_record(path), path if path.is_dir() else path.parent, asked, home, now or datetime.now(UTC))
    _check_names(asked, case.record.checks)
    said = headline(case.record)
    if said.kind == "refused":
        refusal = Demand("integrity of the audit", "no check of integrity fails", said.sentence, "fail")
        return GateResult(case.record.subject.label, (refusal,))
    return GateResult(case.record.subject.label, tuple(demand for ask in _ASKED for demand in ask(case)))


@dataclass(frozen=True)
class _Case:
    """A record, the directory it lies in, the policy, the directory of that, and the present time."""

    record: AuditRecord
    directory: Path
    policy: Policy
    home: Path
    now: datetime

    @property
    def blind(self) -> bool:
        """No attack looked at gradients, and that is not waived."""
        return attacked_by_queries_alone(self.record) and _GRADIENT not in self.policy.waive

    @property
    def weak(self) -> list[Check]:
        """Failed checks because of which a count under attack is only an upper bound."""
        failed = [c for c in self.record.checks if c.verdict == "fail" and c.group in ("model", "strength")]
        return [check for check in failed if check.key not in self.policy.waive]


def _check_names(policy: Policy, made: Collection[Check]) -> None:
    """Raise if a check is named that there is not, or one of integrity is waived."""
    questions = {question.key: question.group for entry in CHECKS for question in entry.questions}
    known = questions | {check.key: check.group for check in made}
    for name in policy.checks:
        if name not in known and name not in GROUPS:
            raise UserError(f"checks: there is no check {name!r}; {nearest_hint(name, [*known, *GROUPS])}")
    for name in policy.waive:
        if name not in known:
            raise UserError(f"waive: there is no check {name!r}; {nearest_hint(name, known)}")
        if known[name] == "integrity":
            raise UserError(
                f"waive.{name}: a check of integrity cannot be waived; if it fails, no number means anything"
            )


def _images(case: _Case) -> Iterable[Demand]:
    if (least := case.policy.images) is not None:
        n = case.record.data.n
        yield Demand("images", f"at least {least:,}", f"{n:,}", "pass" if n >= least else "fail")


def _age(case: _Case) -> Iterable[Demand]:
    if (most := case.policy.max_age_days) is None:
        return
    asked = f"at most {most:g} days"
    try:
        made = datetime.fromisoformat(case.record.created)
    except ValueError:
        yield Demand("age of the audit", asked, "the record does not say when it was made", "unknown")
        return
    days = (case.now - (made if made.tzinfo else made.replace(tzinfo=UTC))).total_seconds() / 86400
    judged: Judgement = "unknown" if days < -1 else "pass" if days <= most else "fail"
    yield Demand("age of the audit", asked, f"{days:.1f} days", judged)


def _sealed(case: _Case) -> Iterable[Demand]:
    if not case.policy.sealed:
        return
    found = Verification("", tuple(check_consistency(Dossier(case.record, case.directory, case.directory / LEDGER))))
    against = [finding for finding in found.findings if finding.outcome == found.outcome != "confirmed"]
    says = "; ".join(f"{f.claim}: {f.says}" for f in against) or "sealed, and all its files agree"
    yield Demand("seal and files", "agree with each other", says, _JUDGED[found.outcome])


def _clean(case: _Case) -> Iterable[Demand]:
    if (share := case.policy.clean_accuracy) is not None:
        yield _least("clean accuracy", share, case.record["clean"].correct)
    if (share := case.policy.worst_class_clean_accuracy) is not None:
        what, rates = "clean accuracy of the worst class", case.record["clean"].per_class
        yield _least_class(what, share, case.record.data.classes, rates)


def _robust(case: _Case) -> Iterable[Demand]:
    for asked in case.policy.robust_accuracy:
        what = f"robust accuracy, {threat_text(asked.norm, asked.epsilon)}"
        yield _under_attack(case, asked, what, functools.partial(_least_of_all, what, asked.at_least))
    for asked in case.policy.worst_class_robust_accuracy:
        what = f"robust accuracy of the worst class, {threat_text(asked.norm, asked.epsilon)}"
        names = case.record.data.classes
        yield _under_attack(case, asked, what, functools.partial(_least_class, what, asked.at_least, names))


def _under_attack(case: _Case, asked: AtThreat, what: str, judge: Callable[[Sequence[Rate]], Demand]) -> Demand:
    """Judge what withstood all attacks, by class, at the radius or the next larger one that was attacked.

    Where an attack was tried at larger radii alone, it passes only if what withstood that too, there, is enough.
    """
    wanted = f"at least {percent_text(asked.at_least)} %"
    radii = sorted(
        float(m.threat["epsilon"]) for m in case.record.of("attack") if m.threat and m.threat["norm"] == asked.norm
    )
    reach = next((r for r in radii if r >= asked.epsilon or math.isclose(r, asked.epsilon, rel_tol=1e-6)), None)
    if reach is None or not case.record.rows:
        nothing = f"nothing in {asked.norm} was tried"
        largest = f"the largest radius in {asked.norm} is {radii[-1]:g}" if radii else nothing
        return Demand(what, wanted, largest if reach is None else "the record has no rows", "unknown")
    within = MainThreat(asked.norm, reach)
    demand = judge(withstood_by_class(case.record, within))
    if demand.judgement == "pass" and (later := only_beyond(case.record, within)):
        wider = judge(withstood_by_class(case.record, MainThreat(asked.norm, radii[-1])))
        if wider.judgement != "pass":
            text = f"{demand.found}, and {wider.found} within {radii[-1]:g}, where alone {listing(later)} looked"
            return Demand(what, wanted, text, "unknown")
    if not math.isclose(reach, asked.epsilon, rel_tol=1e-6):
        demand = _with(demand, f"{demand.found}, judged by {threat_text(asked.norm, reach)}", demand.judgement)
    if case.blind and demand.judgement == "pass":
        says = "only an upper bound, for it was attacked by queries alone"
        return _with(demand, f"{demand.found}; {says} (check {_GRADIENT})", "unknown")
    if case.weak and demand.judgement == "pass":
        names = ", ".join(check.key for check in case.weak)
        return _with(demand, f"{demand.found}; only an upper bound, for these checks fail: {names}", "unknown")
    return demand


def _with(demand: Demand, found: str, judgement: Judgement) -> Demand:
    return Demand(demand.what, demand.asked, found, judgement)


def _least_of_all(what: str, share: float, rates: Sequence[Rate]) -> Demand:
    return _least(what, share, Rate(sum(rate.count for rate in rates), sum(rate.n for rate in rates)))


def _least(what: str, share: float, rate: Rate) -> Demand:
    low = rate.interval()[0]
    return Demand(what, f"at least {percent_text(share)} %", rate_text(rate), "pass" if low >= share else "fail")


def _least_class(what: str, share: float, names: Sequence[str], rates: Sequence[Rate]) -> Demand:
    if empty := [name for name, rate in zip(names, rates, strict=True) if rate.n == 0]:
        return Demand(what, f"at least {percent_text(share)} %", f"no images of {', '.join(empty[:3])}", "unknown")
    worst = min(range(len(rates)), key=lambda label: rates[label].interval()[0])
    demand = _least(what, share, rates[worst])
    return _with(demand, f"{names[worst]}: {demand.found}", demand.judgement)


def _drops(case: _Case) -> Iterable[Demand]:
    for drop in case.policy.drop:
        yield _drop(case, drop)


def _drop(case: _Case, drop: Drop) -> Demand:
    strength = "" if drop.strength is None else f" at {drop.strength:g}"
    what, asked = f"drop under {drop.under}{strength}", f"at most {percent_text(drop.at_most)} points"
    found = [m for m in case.record.of("perturbation") if _is_meant(m, drop)]
    if not found or not case.record.rows:
        return Demand(what, asked, "the record has no rows" if found else "it was not measured", "unknown")
    paired = {m.key: _fell(case.record, m.key) for m in found}
    worst = max(paired, key=lambda key: paired[key].interval()[1])
    text = f"{_points(paired[worst])} ({worst}" + (f", worst of {len(paired)})" if len(paired) > 1 else ")")
    return Demand(what, asked, text, "pass" if paired[worst].interval()[1] <= drop.at_most else "fail")


def _is_meant(measurement: Measurement, drop: Drop) -> bool:
    named = drop.under in (measurement.name, measurement.key)
    return named and (drop.strength is None or math.isclose(measurement.strength or 0.0, drop.strength, rel_tol=1e-6))


def _fell(record: AuditRecord, key: str) -> Paired:
    return Paired.of((r.predictions["clean"] == r.label, r.predictions[key] == r.label) for r in record.rows)


def _points(paired: Paired) -> str:
    low, high = (100 * end for end in paired.interval())
    return f"{100 * paired.difference:.1f} points ({low:.1f} to {high:.1f})"


def _price(case: _Case) -> Iterable[Demand]:
    if (limit := case.policy.price) is not None:
        yield _paid(case, limit)


def _paid(case: _Case, limit: Price) -> Demand:
    reference = read_record(case.home / limit.reference)
    what = f"price in clean accuracy, against {reference.subject.label}"
    asked = f"at most {percent_text(limit.at_most)} points"
    if headline(reference).kind == "refused":
        return Demand(what, asked, "a check of integrity of the reference failed", "unknown")
    if not (reference.rows and case.record.rows):
        return Demand(what, asked, "one of the two records has no rows", "unknown")
    try:
        found = price(reference, case.record)
    except UserError as error:
        return Demand(what, asked, str(error), "unknown")
    paired = Paired(found.only_natural, found.only_robust, found.natural.n)
    return Demand(what, asked, _points(paired), "pass" if paired.interval()[1] <= limit.at_most else "fail")


def _checks(case: _Case) -> Iterable[Demand]:
    for name in case.policy.checks:
        if name in GROUPS:
            mine = [check for check in case.record.checks if check.group == name]
            failed = [check.key for check in mine if check.verdict == "fail" and check.key not in case.policy.waive]
            doubted = sum(check.verdict == "warn" for check in mine)
            found = f"{len(mine)} made, {doubted} in doubt" + (f"; failed: {', '.join(failed)}" if failed else "")
            judged: Judgement = "unknown" if not mine else "fail" if failed else "pass"
            yield Demand(f"checks of {name}", "none fails", found if mine else "none was made", judged)
        elif name not in case.policy.waive:
            yield _named(name, {check.key: check for check in case.record.checks})


def _named(name: str, made: Mapping[str, Check]) -> Demand:
    check = made.get(name)
    if check is None or check.verdict == "not_applicable":
        why = "it was not made" if check is None else f"not asked: {check.evidence}"
        return Demand(f"check {name}", "holds", why, "unknown")
    found = f"{_WORDS[check.verdict]}: {check.evidence}"
    return Demand(f"check {name}", "holds", found, "pass" if check.verdict == "pass" else "fail")


def _waived(case: _Case) -> Iterable[Demand]:
    made = {check.key: check for check in case.record.checks}
    for key, reason in case.policy.waive.items():
        verdict = _WORDS[made[key].verdict] if key in made else "not made"
        yield Demand(f"check {key}", "waived", f"{verdict}; waived because: {reason}", "waived")


_ASKED: tuple[Callable[[_Case], Iterable[Demand]], ...] = (
    _images,
    _age,
    _sealed,
    _clean,
    _robust,
    _drops,
    _price,
    _checks,
    _waived,
)
"""In the order in which the demands are shown."""
