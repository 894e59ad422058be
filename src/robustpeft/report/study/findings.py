"""What did a study find? Sentences, each with its number and the test behind it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from robustpeft.records import ContrastRecord, StudyRecord, holm, mcnemar
from robustpeft.report.study.ratio import ratio_interval
from robustpeft.report.study.summary import ArmSummary, GridSummary
from robustpeft.report.study.tables import spread_text
from robustpeft.report.wording import number_text

__all__ = ["Pairing", "findings", "front", "kendall", "pairings"]

_LEVEL = 0.05
_ENUMERATED = 8  # budgets up to which all orders are gone through


@dataclass(frozen=True)
class Pairing:
    """Two arms on the same images, at the headline threat.

    Args:
        one: The arm that is compared.
        reference: With which.
        only_one: Images that it alone keeps right, in more than half of its seeds.
        only_reference: Images that the reference alone keeps right.
        p_value: McNemar's exact test.
        corrected: After Holm's correction over all planned comparisons of the study.
    """

    one: ArmSummary
    reference: ArmSummary
    only_one: int
    only_reference: int
    p_value: float
    corrected: float


def pairings(study: StudyRecord, grids: Sequence[GridSummary]) -> tuple[Pairing, ...]:
    """Return every planned comparison whose arms have both been judged and have both not collapsed."""
    found = [pair for contrast in study.contrasts for grid in grids for pair in _pairs(contrast, grid)]
    counts = [(len(one.kept - other.kept), len(other.kept - one.kept)) for one, other in found]
    raw = [mcnemar(*count) for count in counts]
    return tuple(
        Pairing(*pair, *count, p, corrected)
        for pair, count, p, corrected in zip(found, counts, raw, holm(raw), strict=True)
    )


def front(grid: GridSummary) -> tuple[ArmSummary, ...]:
    """Return the arms that no other beats in robust accuracy with as few parameters; collapsed ones are left out."""
    threat = grid.headline
    if threat is None:
        return ()
    best, kept = -1.0, []
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
    for pair in tests:
        grid = next(g for g in grids if pair.one in g.arms)
        sentences.append(within[grid.name] + _paired(pair, len(tests), grid))
    sentences += [within[grid.name] + sentence for grid in grids for sentence in _trends(grid)]
    sentences += [f"Caution: {within[grid.name]}{sentence}" for grid in grids for sentence in _collapses(grid)]
    return (*sentences, *_cautions(study))


def _pairs(contrast: ContrastRecord, grid: GridSummary) -> list[tuple[ArmSummary, ArmSummary]]:
    if contrast.grid != grid.grid or grid.headline is None:
        return []
    arms = {", ".join(s.arm.coordinates.values()): s for s in grid.sound} | {s.arm.label: s for s in grid.sound}
    reference = arms.get(contrast.reference)
    if reference is None:
        return []
    others = contrast.against or [s.arm.label for s in grid.sound]
    return [(arms[label], reference) for label in others if label in arms and arms[label] is not reference]


def _of_grid(grid: GridSummary) -> list[str]:
    threat = grid.headline
    if threat is None or not grid.sound:
        return []
    best = max(grid.sound, key=lambda s: s.robust[threat].mean)
    spread = best.robust[threat]
    low, high = spread.interval()
    where = f"{threat.norm} {number_text(threat.epsilon)}"
    sentences = [
        f"{best.arm.label} keeps the most images right under all attacks tried within {where}: "
        f"{spread_text(spread)} % (mean and standard deviation of {len(spread.shares)} seeds; 95 % Wilson interval "
        f"over {spread.n} images {100 * low:.1f} to {100 * high:.1f}), "
        f"{spread_text(best.measured['clean'])} % without one."
    ]
    if len(grid.arms) > 1:
        labels = ", ".join(
            f"{s.arm.label} ({s.num_trained:,} parameters, {100 * s.robust[threat].mean:.1f} %)" for s in front(grid)
        )
        sentences.append(f"Not beaten with as few trained parameters (means, no test): {labels}.")
    return sentences


def _paired(pair: Pairing, tests: int, grid: GridSummary) -> str:
    assert grid.headline is not None
    one, other = pair.one.robust[grid.headline].mean, pair.reference.robust[grid.headline].mean
    share = f" ({100 * one / other:.0f} % of it{_within(pair, grid)})" if other else ""
    parameters = pair.one.num_trained / pair.reference.num_trained if pair.reference.num_trained else math.nan
    if pair.corrected >= _LEVEL:
        verdict = "a difference is not shown"
    else:
        verdict = "it is better" if pair.only_one > pair.only_reference else "it is worse"
    return (
        f"{pair.one.arm.label} against {pair.reference.arm.label}: {100 * one:.1f} % and "
        f"{100 * other:.1f} %{share}, with {100 * parameters:.3g} % of its trained parameters; in more than half of "
        f"the seeds it alone keeps {pair.only_one} images, the other alone {pair.only_reference}: {verdict} "
        f"(McNemar, exact, p = {pair.p_value:.2g}; {pair.corrected:.2g} after Holm over {tests} comparisons)."
    )


def _within(pair: Pairing, grid: GridSummary) -> str:
    assert grid.headline is not None
    found = ratio_interval(pair.one.held, pair.reference.held, pair.one.robust[grid.headline].n)
    return "" if found is None else f"; 95 % interval {100 * found[0]:.0f} to {100 * found[1]:.0f}"


def _trends(grid: GridSummary) -> list[str]:
    sentences = []
    for group in dict.fromkeys(summary.arm.group for summary in grid.sound):
        arms = sorted((s for s in grid.sound if s.arm.group == group), key=lambda s: s.num_trained)
        sizes = [summary.num_trained for summary in arms]
        if grid.headline is None or not 3 <= len(set(sizes)) == len(sizes) <= _ENUMERATED:
            continue
        tau, p = kendall([summary.robust[grid.headline].mean for summary in arms])
        if p >= _LEVEL:
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


def _cautions(study: StudyRecord) -> list[str]:
    sentences = []
    several = len(study.grids) > 1
    if edges := [f"{arm.grid}: {arm.label}" if several else arm.label for arm in study.arms if arm.edges]:
        sentences.append(f"Caution: the best value lies at the edge of what was tried for {'; '.join(edges)}.")
    if failed := [
        f"{arm.label}, seed {run.seed}: {run.failed}" for arm in study.arms for run in arm.runs if run.failed
    ]:
        sentences.append(f"Caution: {len(failed)} runs have no result: {'; '.join(failed)}.")
    if open_ := [f"{stage.kind} of {stage.grid}: {stage.failed}" for stage in study.stages if stage.failed]:
        sentences.append(f"Caution: not answered: {'; '.join(open_)}.")
    if unchosen := [arm.label for arm in study.arms if arm.chosen is None]:
        sentences.append(f"Caution: no trial came to a result for {'; '.join(unchosen)}.")
    return sentences


def _concordance(values: Sequence[float]) -> int:
    return sum((b > a) - (b < a) for a, b in itertools.combinations(values, 2))
