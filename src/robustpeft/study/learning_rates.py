"""At which learning rate? A few short trials on the validation images, all of them kept on record.

Techniques differ by orders of magnitude in the rate that suits them, so without a search of the same number of trials
for each no comparison of them means anything.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from robustpeft.errors import UserError
from robustpeft.records import write_json
from robustpeft.training import Fit, NotFiniteError, TrainingPlan, is_first_process

__all__ = [
    "RATES",
    "RATES_FILE",
    "RateSearch",
    "RateTrial",
    "at_edge",
    "best_trial",
    "search_rates",
    "shortened",
]

_log = logging.getLogger(__name__)

RATES = (1e-4, 6e-4, 3e-3, 2e-2, 1e-1)
"""What is tried for every technique: five rates over three orders of magnitude, evenly spaced but for rounding."""

RATES_FILE = "learning_rates.json"
_FOLDER = "learning_rates"


class Tried(Protocol):
    """A trial, as selection sees it."""

    @property
    def learning_rate(self) -> float:
        """Peak rate."""
        ...

    @property
    def validation_clean(self) -> int:
        """Validation images right."""
        ...

    @property
    def validation_robust(self) -> int:
        """Validation images right under the selection attack."""
        ...


T = TypeVar("T", bound=Tried)


def best_trial(trials: Sequence[T]) -> T:
    """Return the trial with the most images right under attack, then on clean images, then with the lower rate."""
    return max(trials, key=lambda t: (t.validation_robust, t.validation_clean, -t.learning_rate))


def at_edge(rate: float, rates: Sequence[float]) -> bool:
    """Return whether the rate lies at the edge of what was tried: more might be gained beyond it."""
    return len(rates) > 1 and rate in (min(rates), max(rates))


@dataclass(frozen=True)
class RateTrial:
    """One short run.

    Args:
        learning_rate: Peak rate.
        validation_n: Validation images.
        validation_clean: Right of them; -1 if tuning diverged.
        validation_robust: Right under the selection attack; equal to `validation_clean` without an adversary.
        epochs: Of the main phase.
        steps: In all phases; 0 if tuning diverged.
        seconds: Of tuning.
        failed: Why it cannot be chosen: tuning diverged, or nearly every image gets the same prediction; else empty.
    """

    learning_rate: float
    validation_n: int
    validation_clean: int
    validation_robust: int
    epochs: int
    steps: int
    seconds: float
    failed: str = ""


@dataclass(frozen=True)
class RateSearch:
    """What came of it.

    Args:
        trials: All of them, in the order of the rates.
        chosen: The best one's rate.
        edge: It lies at the edge of what was tried.
        share: Of the epochs that each trial had.
        seed: Of all trials.
    """

    trials: tuple[RateTrial, ...]
    chosen: float
    edge: bool
    share: float
    seed: int

    @property
    def summary(self) -> str:
        """One sentence: which of how many."""
        tried = ", ".join(f"{trial.learning_rate:g}" for trial in self.trials)
        edge = "; at the edge of what was tried" if self.edge else ""
        return f"the best of {len(self.trials)} trials ({tried}) on {self.share:.0%} of the epochs{edge}"


def shortened(plan: TrainingPlan, rate: float, share: float) -> TrainingPlan:
    """Return the plan of a trial: this rate, this share of the epochs of each phase, at most two looks, no early end.

    The schedules shrink with it. Phases with a rate of their own keep it.
    """
    before = tuple(dataclasses.replace(p, epochs=max(1, round(share * p.epochs))) for p in plan.before)
    return dataclasses.replace(
        plan,
        learning_rate=rate,
        epochs=max(1, round(share * plan.epochs)),
        before=before,
        validations=min(2, plan.validations),
        patience=None,
    )


def search_rates(
    run: Callable[[TrainingPlan, Path], Fit],
    plan: TrainingPlan,
    directory: Path,
    *,
    identity: str,
    rates: Sequence[float] = RATES,
    share: float = 0.25,
    seed: int = 0,
) -> RateSearch:
    """Tune shortly at every rate, and return all trials and the best one's rate.

    Every trial is written to ``learning_rates.json`` when it is done; one that stands there already, from the same
    search, is not run again. Of a trial's own directory only the metrics stay.

    Args:
        run: Tunes a fresh model by a plan, in a directory of its own, going on where it was interrupted.
        plan: Of the whole run.
        directory: Of the run that the search is for.
        identity: What the search is of: trials of another one are not taken over.
        rates: At least one, positive.
        share: Of the epochs, in (0, 1].
        seed: Of the trials, for the record.

    Raises:
        UserError: If there is no rate, the share is out of range, or no rate will do.
    """
    if not rates or not 0 < share <= 1:
        raise UserError(f"a search needs learning rates and a share of the epochs in (0, 1]; got {rates} and {share}")
    identity = f"{identity} {share} {seed}"
    done = _read(directory / RATES_FILE, identity)
    trials = []
    for rate in sorted(rates):
        trials.append(done.get(rate) or _try(run, shortened(plan, rate, share), directory / _FOLDER / f"{rate:g}"))
        _write(directory / RATES_FILE, identity, trials, None)
    whole = [trial for trial in trials if not trial.failed]
    if not whole:
        raise UserError(
            f"no learning rate of {', '.join(f'{r:g}' for r in sorted(rates))} will do: "
            f"{'; '.join(dict.fromkeys(trial.failed for trial in trials))}"
        )
    chosen = best_trial(whole).learning_rate
    search = RateSearch(tuple(trials), chosen, at_edge(chosen, rates), share, seed)
    if search.edge:
        _log.warning("learning rate %g is the best of those tried, but at their edge: more may lie beyond", chosen)
    _write(directory / RATES_FILE, identity, trials, search)
    return search


def _try(run: Callable[[TrainingPlan, Path], Fit], plan: TrainingPlan, directory: Path) -> RateTrial:
    rate = plan.learning_rate
    try:
        fit = run(plan, directory)
    except NotFiniteError as error:
        _log.warning("learning rate %g: %s", rate, error)
        trial = RateTrial(rate, 0, -1, -1, plan.epochs, 0, 0.0, str(error))
    else:
        scores, why = fit.scores, "predictions collapsed" if fit.collapsed else ""
        _log.info("learning rate %g: %d clean, %d robust of %d", rate, scores.clean, scores.robust, scores.n)
        seconds = round(fit.seconds, 3)
        trial = RateTrial(rate, scores.n, scores.clean, scores.robust, plan.epochs, fit.steps, seconds, why)
    if is_first_process():
        shutil.rmtree(directory / "checkpoints", ignore_errors=True)
    return trial


def _read(file: Path, identity: str) -> dict[float, RateTrial]:
    if not file.is_file():
        return {}
    said = json.loads(file.read_text(encoding="utf-8"))
    if said["identity"] != identity:
        return {}
    return {entry["learning_rate"]: RateTrial(**entry) for entry in said["trials"]}


def _write(file: Path, identity: str, trials: Sequence[RateTrial], search: RateSearch | None) -> None:
    if is_first_process():
        result = {"chosen": search.chosen, "edge": search.edge} if search else {}
        write_json(file, {"identity": identity, **result, "trials": [asdict(trial) for trial in trials]})
