"""What came of the planned comparisons? Both arms on the same images, with the seeds that both have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from robustpeft.records import ArmRecord, ContrastRecord, StudyRecord, holm, mcnemar
from robustpeft.report.study.ratio import ratio_interval
from robustpeft.report.study.summary import ArmSummary, GridSummary, Spread

__all__ = ["Pairing", "not_made", "pairing_sentence", "pairings"]

_LEVEL = 0.05


@dataclass(frozen=True)
class Pairing:
    """Two arms on the same images, at the headline threat, each with the seeds that both have.

    An image counts for an arm if more than half of its seeds keep it right. Two seeds must both, of three two: with
    unlike numbers of seeds the rule alone would make a difference.

    Args:
        grid: In which both stand.
        one: The arm that is compared.
        reference: With which.
        only_one: Images that it alone keeps right, in more than half of its seeds.
        only_reference: Images that the reference alone keeps right.
        p_value: McNemar's exact test.
        corrected: After Holm's correction over all planned comparisons of the study.
        seeds: That both have, if one of them has others too; else empty.
    """

    grid: GridSummary
    one: ArmSummary
    reference: ArmSummary
    only_one: int
    only_reference: int
    p_value: float
    corrected: float
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Pair:
    grid: GridSummary
    one: ArmSummary
    reference: ArmSummary
    seeds: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, int]:
        one, other = self.one.kept, self.reference.kept
        return len(one - other), len(other - one)


def pairings(study: StudyRecord, grids: Sequence[GridSummary]) -> tuple[Pairing, ...]:
    """Return every planned comparison whose arms have a seed in common that was judged, and have both not collapsed."""
    found = [pair for contrast in study.contrasts for grid in grids for pair in _pairs(contrast, grid)]
    raw = [mcnemar(*pair.counts) for pair in found]
    return tuple(
        Pairing(pair.grid, pair.one, pair.reference, *pair.counts, p, corrected, pair.seeds)
        for pair, p, corrected in zip(found, raw, holm(raw), strict=True)
    )


def not_made(study: StudyRecord, grids: Sequence[GridSummary]) -> tuple[str, ...]:
    """Return the planned comparisons, as ``A against B``, that could be made on no images."""
    found = []
    for contrast in study.contrasts:
        arms = [arm for arm in study.arms if arm.grid == contrast.grid]
        planned = contrast.against or [arm.label for arm in arms if contrast.reference not in _called(arm)]
        made = {name for grid in grids for pair in _pairs(contrast, grid) for name in _names(pair.one.arm)}
        found += [f"{label} against {contrast.reference}" for label in planned if label not in made]
    return tuple(found)


def pairing_sentence(pair: Pairing, tests: int) -> str:
    """Return what came of one comparison.

    Args:
        pair: Which.
        tests: How many comparisons Holm's correction was taken over.
    """
    one, other = _spreads(pair)
    over = f" over the seeds that both have ({', '.join(map(str, pair.seeds))})" if pair.seeds else ""
    share = f" ({100 * one.mean / other.mean:.0f} % of it{_within(pair)})" if other.mean else ""
    return (
        f"{pair.one.arm.label} against {pair.reference.arm.label}: {100 * one.mean:.1f} % and "
        f"{100 * other.mean:.1f} %{share}{over}, with {_parameters(pair)}; in more than half of "
        f"the seeds it alone keeps {pair.only_one} images, the other alone {pair.only_reference}: {_verdict(pair)} "
        f"(McNemar, exact, p = {_p_text(pair.p_value)}; {_p_text(pair.corrected)} after Holm over {tests} comparisons)."
    )


def _pairs(contrast: ContrastRecord, grid: GridSummary) -> list[_Pair]:
    if contrast.grid != grid.grid or grid.headline is None:
        return []
    arms = {name: s for s in grid.sound for name in _names(s.arm)} | {s.arm.label: s for s in grid.sound}
    reference = arms.get(contrast.reference)
    if reference is None:
        return []
    others = contrast.against or [s.arm.label for s in grid.sound]
    found = (arms[label] for label in others if label in arms)
    return [pair for one in found if one is not reference and (pair := _alike(grid, one, reference)) is not None]


def _alike(grid: GridSummary, one: ArmSummary, reference: ArmSummary) -> _Pair | None:
    """Return both arms with the seeds that both have; None if there are none."""
    seeds = tuple(seed for seed in one.seeds if seed in reference.seeds)
    if not seeds:
        return None
    if set(one.seeds) == set(reference.seeds):
        return _Pair(grid, one, reference, ())
    return _Pair(grid, one.of_seeds(seeds), reference.of_seeds(seeds), seeds)


def _names(arm: ArmRecord) -> tuple[str, str]:
    return arm.label, ", ".join(arm.coordinates.values())


def _called(arm: ArmRecord) -> tuple[str, ...]:
    """Return the arm's names, also those without one axis, as within one data set."""
    places = list(arm.coordinates.values())
    return (arm.label, *(", ".join(places[:i] + places[i + 1 :]) for i in range(len(places))))


def _spreads(pair: Pairing) -> tuple[Spread, Spread]:
    assert pair.grid.headline is not None
    return pair.one.robust[pair.grid.headline], pair.reference.robust[pair.grid.headline]


def _verdict(pair: Pairing) -> str:
    """Return what the test shows of these runs, and whether the means and the single seeds say so too."""
    if pair.corrected >= _LEVEL:
        return "a difference is not shown"
    one, other = _spreads(pair)
    better = pair.only_one > pair.only_reference
    high, low = (one, other) if better else (other, one)
    if high.mean <= low.mean:
        return "no order is claimed, for the means do not say what the majorities of seeds say"
    said = "it is better" if better else "it is worse"
    if len(one.shares) == 1:
        return f"{said}, as far as one seed each can tell"
    return f"{said}, though single seeds overlap" if max(low.shares) >= min(high.shares) else said


def _within(pair: Pairing) -> str:
    one, other = _spreads(pair)
    found = ratio_interval(pair.one.held, pair.reference.held, one.n)
    over = " over images alone" if len(one.shares) == len(other.shares) == 1 else ""
    return "" if found is None else f"; 95 % interval{over} {100 * found[0]:.0f} to {100 * found[1]:.0f}"


def _parameters(pair: Pairing) -> str:
    one, other = pair.one.num_trained, pair.reference.num_trained
    share = one / other if other else math.nan
    return (
        f"{share:,.0f} times its trained parameters"
        if share >= 10
        else f"{100 * share:.3g} % of its trained parameters"
    )


def _p_text(p_value: float) -> str:
    return f"{p_value:.2g}" if p_value else "less than 1e-300"  # it is below what a float can hold
