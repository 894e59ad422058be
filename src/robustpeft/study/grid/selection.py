"""Which candidate of an arm goes on? The best on validation images; ties go to the earlier one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robustpeft.records import TrialRecord
from robustpeft.study.grid.cells import Arm
from robustpeft.study.grid.store import Store

__all__ = ["choose", "edges", "trial_records"]


def trial_records(arm: Arm, store: Store) -> tuple[TrialRecord, ...]:
    """Return all trials of an arm, those that failed or are not done too."""
    records = []
    for settings, cell in arm.trials():
        attacked = cell.recipe.objective.adversarial
        result, failure = store.result(cell.identity), store.failure(cell.identity)
        if result is None:
            reason = failure.reason if failure is not None else "not done"
            records.append(TrialRecord(cell.identity, settings, failed=reason, attacked=attacked))
            continue
        counts = (result.validation_n, result.validation_clean, result.validation_robust)
        records.append(
            TrialRecord(
                cell.identity,
                settings,
                *counts,
                result.seconds,
                failed=result.diverged,
                diverged=bool(result.diverged),
                attacked=attacked,
                collapsed=result.collapsed,
            )
        )
    return tuple(records)


def choose(arm: Arm, trials: tuple[TrialRecord, ...]) -> dict[str, Any] | None:
    """Return the settings with the most images right under attack, then on clean ones, then the earliest.

    One that collapsed goes on only if all did: who answers one class alone is right under attack as often as without,
    which beats every honest model that an attack breaks. Where tuning had no adversary there was no attack, and it is
    the clean images alone that choose.

    Returns:
        What is to be set; empty if there is nothing to choose; None if no trial came to a result.
    """
    if not trials:
        return arm.candidates()[0]
    whole = [trial for trial in trials if not trial.failed]
    if not whole:
        return None
    return dict(max(whole, key=lambda t: (not t.collapsed, t.validation_robust, t.validation_clean)).settings)


def edges(arm: Arm, chosen: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys whose chosen number lies at the edge of what was tried: more might be gained beyond it."""
    found = []
    for key, tried in arm.select.items():
        numbers = [value for value in tried if isinstance(value, int | float)]
        if len(numbers) == len(tried) > 1 and chosen[key] in (min(numbers), max(numbers)):
            found.append(key)
    return tuple(found)
