"""What do several runs say together? The transfer matrix, and how far parameters lie apart, as figures and tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from matplotlib.figure import Figure

from robustpeft.records import DistanceRecord, TransferRecord, holm
from robustpeft.report.drawing import Drawing
from robustpeft.report.figures import series_color
from robustpeft.report.study.tables import TextTable
from robustpeft.report.svg import GRID, INK
from robustpeft.report.transfer_figure import matrix_figure
from robustpeft.report.transfer_tables import spoken_matrix
from robustpeft.report.wording import technique_name, threat_text

__all__ = ["distance_figure", "distance_sentences", "distance_table", "transfer_drawing", "transfer_pairs"]

_LEVEL = 0.05


def transfer_drawing(record: TransferRecord) -> Drawing:
    """Return the matrix as a heat map under the arms' own labels."""
    names = [subject.label for subject in record.subjects]
    room = 0.6 + 0.075 * max(map(len, names))
    where = threat_text(str(record.threat["norm"]), float(record.threat["epsilon"]))
    title = f"Images that stay right, in percent, made against the row and shown to the column, {where}"
    rows = [
        {
            "made against": one,
            "shown to": other,
            "kept": (rate := record.kept(source, target)).count,
            "n": rate.n,
            "share": rate.fraction,
            "low": rate.interval()[0],
            "high": rate.interval()[1],
        }
        for source, one in enumerate(names)
        for target, other in enumerate(names)
    ]
    return Drawing(matrix_figure(record, names, (room, 0.75 * room + 0.25)), title, spoken_matrix(record), rows)


def transfer_pairs(record: TransferRecord) -> TextTable:
    """Return, for every source and every other target, what the attack loses by not knowing the target: paired tests.

    Holm's correction is taken over all pairs of the matrix.
    """
    names = [subject.label for subject in record.subjects]
    pairs = [(s, t) for s in range(len(names)) for t in range(len(names)) if s != t]
    tests = [record.against_full_knowledge(*pair) for pair in pairs]
    corrected = holm([test.p_value for test in tests])
    rows = []
    for (source, target), test, p in zip(pairs, tests, corrected, strict=True):
        low, high = (100 * bound for bound in test.interval())
        rows.append(
            (
                names[source],
                names[target],
                f"{100 * test.difference:+.1f}",
                f"{low:+.1f} to {high:+.1f}",
                f"{test.only_one} / {test.only_other}",
                f"{test.p_value:.2g}",
                f"{p:.2g}",
            )
        )
    heads = ("made against", "shown to", "points", "95 %", "kept by one alone", "p", "p, Holm")
    title = (
        f"Images that the target keeps more than under the attack made against itself "
        f"({technique_name(record.attack)}, {record.data.n} images, first seed of every arm): McNemar's "
        f"exact test, Holm over {len(rows)} pairs"
    )
    return TextTable(title, heads, tuple(rows))


def distance_figure(record: DistanceRecord) -> Drawing:
    """Return the relative distance between both kinds of tuning for every component, with its range over seeds.

    The light bar behind it is the distance between two seeds of standard tuning, where there are two.
    """
    count = len(record.rows)
    height = 0.9 + 0.34 * count
    figure = Figure(figsize=(6.4, height))
    axes = figure.add_axes((0.19, 0.55 / height, 0.77, 1 - 0.62 / height))
    means = [100 * statistics.fmean(row.between) for row in record.rows]
    spans = [
        [m - 100 * min(row.between) for m, row in zip(means, record.rows, strict=True)],
        [100 * max(row.between) - m for m, row in zip(means, record.rows, strict=True)],
    ]
    chance = [100 * statistics.fmean(row.seeds_apart) if row.seeds_apart else 0.0 for row in record.rows]
    axes.barh(range(count), means, 0.42, xerr=spans, color=series_color(0), ecolor=INK, capsize=2)
    axes.barh([y + 0.34 for y in range(count)], chance, 0.2, color=series_color(4))
    axes.set_yticks([y + 0.1 for y in range(count)], [row.component for row in record.rows])
    axes.set_ylim(count - 0.3, -0.5)
    axes.set_xlim(left=0)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=6, colors=INK, labelsize=9.5)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "left")
        spine.set_color(INK)
    also = "; thin: between seeds of standard tuning" if any(chance) else ""
    axes.set_xlabel(f"relative L2 distance (%), standard to adversarial{also}", color=INK)
    spoken = " ".join(f"{row.component}: {mean:.1f} %." for row, mean in zip(record.rows, means, strict=True))
    rows = [
        {
            "component": row.component,
            "parameters": row.parameters,
            "seed": seed,
            "between": row.between[i],
            "standard from start": row.standard[i],
            "adversarial from start": row.adversarial[i],
            "between seeds of standard": row.seeds_apart[i] if row.seeds_apart else "",
            "magnitude of adversarial to standard": row.magnitudes[i],
        }
        for row in record.rows
        for i, seed in enumerate(record.seeds)
    ]
    return Drawing(figure, f"How far parameters of {record.standard} and {record.adversarial} lie apart", spoken, rows)


def distance_table(record: DistanceRecord) -> TextTable:
    """Return one row per component: distances in percent, as means over seeds, and the ratio of magnitudes."""
    heads = (
        *("component", "parameters", "standard to adversarial", "standard from start", "adversarial from start"),
        *("between seeds of standard", "magnitude ratio"),
    )
    rows = [
        (
            row.component,
            f"{row.parameters:,}",
            *map(_percent, (row.between, row.standard, row.adversarial, row.seeds_apart)),
            f"{statistics.fmean(row.magnitudes):.3f}",
        )
        for row in record.rows
    ]
    over = f"{len(record.seeds)} seed{'s' if len(record.seeds) > 1 else ''}"
    return TextTable(f"Relative L2 distances between parameters in percent, means over {over}", heads, tuple(rows))


def distance_sentences(record: DistanceRecord) -> tuple[str, ...]:
    """Return which component adversarial tuning moves farthest from standard tuning, beside what chance alone does."""
    by_distance = sorted(record.rows, key=lambda row: statistics.fmean(row.between))
    least, most = by_distance[0], by_distance[-1]
    said = (
        f"{record.standard} and {record.adversarial}: parameters lie farthest apart in {most.component} "
        f"({_percent(most.between)} % in relative L2 distance), least in {least.component} "
        f"({_percent(least.between)} %); means over {len(record.seeds)} seeds, no test"
    )
    if not most.seeds_apart:
        return (f"{said}.",)
    nearer = [row.component for row in record.rows if statistics.fmean(row.between) <= max(row.seeds_apart)]
    beyond = f"not beyond it in {', '.join(nearer)}" if nearer else "beyond it in every component"
    return (f"{said}. Between seeds of standard tuning it is {_percent(most.seeds_apart)} % there; {beyond}.",)


def _percent(shares: Sequence[float]) -> str:
    return f"{100 * statistics.fmean(shares):.1f}" if shares else "-"
