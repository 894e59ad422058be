"""What did a study find? Sentences, each with its number and the test behind it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from robustpeft.records import StudyRecord
from robustpeft.report.study.comparison import not_made, pairing_sentence, pairings
from robustpeft.report.study.summary import ArmSummary, GridSummary
from robustpeft.report.study.tables import spread_text
from robustpeft.report.wording import condition_name, number_text
from robustpeft.report.worst_case import MainThreat

__all__ = ["findings", "front", "kendall"]

_LEVEL = 0.05
_ASTRAY = 0.25  # of what PGD leaves right; AutoAttack usually breaks about a tenth of it
_POINTS = 0.05
_ENUMERATED = 8  # budgets up to which all orders are gone through


def front(grid: GridSummary) -> tuple[ArmSummary, ...]:
    """Return the arms that no other beats in robust accuracy with as few parameters.

    Collapsed ones are left out, and those that keep no image right.
    """
    threat = grid.headline
    if threat is None:
        return ()
    best, kept = 0.0, []
    for summary in sorted(grid.sound, key=lambda s: (s.num_trained, -s.robust[threat].mean)):
        if summary.robust[threat].mean > best:
            best = summary.robust[threat].mean
            kept.append(summary)
    return tuple(kept)


def kendall(values: Sequence[float]) -> tuple[float, float]:
    """Return Kendall's tau-a of values with their order, and its two-sided exact p-value over all permutations.

        tau = (concordant - discordant) / (n (n - 1) / 2)

    Args:
        values: Two to eight.

    Source:
        Kendall 1938, "A new measure of rank correlation", Biometrika 30.
    """
    observed = _concordance(values)
    orders = [abs(_concordance(order)) >= abs(observed) for order in itertools.permutations(values)]
    return observed / math.comb(len(values), 2), sum(orders) / len(orders)


def findings(study: StudyRecord, grids: Sequence[GridSummary]) -> tuple[str, ...]:
    """Return all sentences: the best arm and the front of every grid, comparisons, trends over budgets, cautions."""
    within = {grid.name: f"{grid.name}: " if len(grids) > 1 else "" for grid in grids}
    sentences = [within[grid.name] + sentence for grid in grids for sentence in _of_grid(grid)]
    tests = pairings(study, grids)
    sentences += [within[pair.grid.name] + pairing_sentence(pair, len(tests)) for pair in tests]
    sentences += [within[grid.name] + sentence for grid in grids for sentence in _trends(grid)]
    sentences += [f"Caution: {within[grid.name]}{sentence}" for grid in grids for sentence in _collapses(grid)]
    sentences += [f"Caution: {within[grid.name]}{sentence}" for grid in grids for sentence in _doubts(grid)]
    sentences += [f"Caution: {within[grid.name]}{sentence}" for grid in grids for sentence in _led_astray(grid)]
    if grids and (missed := not_made(study, grids)):
        sentences.append(f"Caution: planned, but not made for want of sound runs: {'; '.join(missed)}.")
    return (*sentences, *_cautions(study))


def _of_grid(grid: GridSummary) -> list[str]:
    threat = grid.headline
    if threat is None or not grid.sound:
        return []
    sentences = [_best(grid, threat)]
    if len(grid.arms) > 1 and front(grid):
        labels = ", ".join(
            f"{s.arm.label} ({s.num_trained:,} parameters, {100 * s.robust[threat].mean:.1f} %)" for s in front(grid)
        )
        sentences.append(f"Not beaten with as few trained parameters (means, no test): {labels}.")
    return sentences


def _best(grid: GridSummary, threat: MainThreat) -> str:
    best, *others = sorted(grid.sound, key=lambda s: -s.robust[threat].mean)
    spread = best.robust[threat]
    low, high = spread.interval()
    where = f"under all attacks tried within {threat.norm} {number_text(threat.epsilon)}"
    wilson = f"95 % Wilson interval over {spread.n} images {100 * low:.1f} to {100 * high:.1f}"
    if not spread.mean:
        return f"No arm keeps any image right {where} ({wilson})."
    equal = [s.arm.label for s in others if math.isclose(s.robust[threat].mean, spread.mean)]
    alike = f" (equal in the mean: {', '.join(equal)})" if equal else ""
    seeds = len(spread.shares)
    over = "one seed" if seeds == 1 else f"mean and standard deviation of {seeds} seeds"
    return (
        f"{best.arm.label} keeps the most images right{alike} {where}: {spread_text(spread)} % ({over}"
        f"{', no test' if others else ''}; {wilson}), {spread_text(best.measured['clean'])} % without one."
    )


def _trends(grid: GridSummary) -> list[str]:
    sentences = []
    for group in dict.fromkeys(summary.arm.group for summary in grid.sound):
        arms = sorted((s for s in grid.sound if s.arm.group == group), key=lambda s: s.num_trained)
        sizes = [summary.num_trained for summary in arms]
        if grid.headline is None or not 3 <= len(set(sizes)) == len(sizes) <= _ENUMERATED:
            continue
        tau, p = kendall([summary.robust[grid.headline].mean for summary in arms])
        if 2 / math.factorial(len(sizes)) >= _LEVEL:
            trend = f"{len(sizes)} budgets are too few to show a trend with the number of trained parameters"
        elif p >= _LEVEL:
            trend = "no trend with the number of trained parameters is shown"
        else:
            trend = f"robust accuracy {'rises' if tau > 0 else 'falls'} with the number of trained parameters"
        sentences.append(
            f"{group}: from {sizes[0]:,} to {sizes[-1]:,}, {trend} "
            f"(Kendall's tau {tau:.2f} over {len(sizes)} budgets, exact p = {p:.2g}, not corrected)."
        )
    return sentences


def _collapses(grid: GridSummary) -> list[str]:
    return [
        f"{summary.arm.label} collapsed ({summary.collapsed}): nothing is claimed on it, and it takes part in no "
        "comparison, front or trend."
        for summary in grid.arms
        if summary.collapsed
    ]


def _doubts(grid: GridSummary) -> list[str]:
    return [f"{summary.arm.label}, {doubt}." for summary in grid.arms for doubt in summary.doubts]


def _led_astray(grid: GridSummary) -> list[str]:
    """Return the arms of which a stronger attack breaks a quarter of what PGD leaves right, and 5 points, or more."""
    if grid.headline is None:
        return []
    radius = grid.headline.epsilon
    there = [m for m in grid.example.of("attack") if m.threat and float(m.threat["epsilon"]) == radius]
    sentences = []
    for summary in grid.sound:
        left = [(summary.measured[m.key].mean, m.name) for m in there if m.key in summary.measured]
        usual = min((mean for mean, name in left if name == "pgd"), default=0.0)
        least, strongest = min(left, default=(0.0, ""))
        if usual - least >= max(_ASTRAY * usual, _POINTS):
            sentences.append(
                f"{summary.arm.label}: PGD leaves {100 * usual:.1f} % right, {condition_name(strongest)} "
                f"{100 * least:.1f} %: its gradients lead a simple search astray, and PGD alone would have been a "
                "wrong judge."
            )
    return sentences


def _cautions(study: StudyRecord) -> list[str]:
    sentences = []
    several = len(study.grids) > 1
    if edges := [f"{arm.grid}: {arm.label}" if several else arm.label for arm in study.arms if arm.edges]:
        sentences.append(f"Caution: the best value lies at the edge of what was tried for {'; '.join(edges)}.")
    if failed := [
        f"{arm.label}, seed {run.seed}: {run.failed}" for arm in study.arms for run in arm.runs if run.failed
    ]:
        sentences.append(f"Caution: {len(failed)} runs have no result: {'; '.join(failed)}.")
    if lost := [
        f"{arm.label}, {', '.join(f'{key} {value}' for key, value in trial.settings.items())}: {trial.failed}"
        for arm in study.arms
        for trial in arm.trials
        if trial.failed and not trial.diverged
    ]:
        said = f"{len(lost)} trials have no result, so that less was tried there: {'; '.join(lost)}"
        sentences.append(f"Caution: {said}.")
    if open_ := [f"{stage.kind} of {stage.grid}: {stage.failed}" for stage in study.stages if stage.failed]:
        sentences.append(f"Caution: not answered: {'; '.join(open_)}.")
    if unchosen := [arm.label for arm in study.arms if arm.chosen is None]:
        sentences.append(f"Caution: no trial came to a result for {'; '.join(unchosen)}.")
    return sentences


def _concordance(values: Sequence[float]) -> int:
    return sum((b > a) - (b < a) for a, b in itertools.combinations(values, 2))
