"""How does a number of a record read? The only place where counts become percentages and bytes become kilobytes."""

from __future__ import annotations

import math
from typing import Any

from robustpeft.records import AuditRecord, DataInfo, Measurement, Rate

__all__ = [
    "byte_text",
    "class_name",
    "condition_name",
    "count_text",
    "data_text",
    "date_text",
    "duration_text",
    "effort_text",
    "interval_text",
    "large_number_text",
    "number_text",
    "percent_text",
    "rate_text",
    "strength_field",
    "technique_name",
    "threat_text",
]

_ACRONYMS = {
    "fgsm": "FGSM",
    "pgd": "PGD",
    "apgd": "APGD",
    "apgd_ce": "APGD-CE",
    "apgd_dlr": "APGD-DLR",
    "autoattack": "AutoAttack",
    "cw": "CW",
    "fab": "FAB",
    "fmn": "FMN",
    "hard_label": "Hard-label search",
    "sibling": "Siblings' images",
}


def percent_text(fraction: float) -> str:
    """Return a share in [0, 1] with one decimal, for example ``91.4``.

    A share below 1 never reads 100.0 and one above 0 never reads 0.0: they become ``> 99.9`` and ``< 0.1``.
    """
    if math.isnan(fraction):
        return "-"
    text = f"{100 * fraction:.1f}"
    if text == "100.0" and fraction < 1:
        return "> 99.9"
    if text == "0.0" and fraction > 0:
        return "< 0.1"
    return text


def interval_text(rate: Rate) -> str:
    """Return the 95 % interval, for example ``88.0 to 93.9``."""
    low, high = rate.interval()
    return f"{percent_text(low)} to {percent_text(high)}"


def rate_text(rate: Rate) -> str:
    """Return for example ``91.4 % (88.0 to 93.9), 329 of 360``."""
    if rate.n == 0:
        return "no images"
    return f"{percent_text(rate.fraction)} % ({interval_text(rate)}), {count_text(rate)}"


def count_text(rate: Rate) -> str:
    """Return for example ``329 of 360``."""
    return f"{rate.count:,} of {rate.n:,}"


def number_text(value: float) -> str:
    """Return a strength as one would write it: ``0.1``, ``0.25``, ``8/255``, ``0.25/255``, ``7``."""
    if math.isclose(float(f"{value:.2g}"), value, rel_tol=1e-9):
        return f"{value:.2g}" if abs(value) < 100 else f"{value:g}"
    eighths = value * 255
    if 0 < eighths < 255 and math.isclose(eighths, round(eighths), rel_tol=1e-6):
        return f"{round(eighths)}/255"
    if 0 < eighths < 1 and math.isclose(20 * eighths, round(20 * eighths), rel_tol=1e-6):
        return f"{eighths:.3g}/255"
    return f"{value:.4g}"


def threat_text(norm: str, epsilon: float) -> str:
    """Return for example ``Linf 8/255``."""
    return f"{norm.capitalize()} {number_text(epsilon)}"


def byte_text(count: int | None) -> str:
    """Return a size in decimal units with three digits, for example ``97.3 kB``; ``-`` for None."""
    if count is None:
        return "-"
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 999.5:
            return f"{count:,} B" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.2f} GB"


def condition_name(name: str) -> str:
    """Return a table name as a reader would say it: ``pgd`` is PGD, ``patch_drop`` is Patch drop.

    Of ``package.module:Class`` only the class is shown.
    """
    short = name.rsplit(":", 1)[-1]
    return _ACRONYMS.get(short) or short[:1].upper() + short[1:].replace("_", " ")


def duration_text(seconds: float) -> str:
    """Return a time as one would say it: ``0.4 s``, ``12 s``, ``5 min``, ``1 h 20 min``."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    hours, minutes = divmod(max(1, round(seconds / 60)), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def large_number_text(count: int) -> str:
    """Return a count with at most four digits: ``950``, ``12.4 thousand``, ``3.21 million``."""
    for unit, name in ((1_000_000_000, "billion"), (1_000_000, "million"), (10_000, "thousand")):
        if count >= unit:
            return f"{count / (1000 if name == 'thousand' else unit):.3g} {name}"
    return f"{count:,}"


def effort_text(measurement: Measurement) -> str:
    """Return how hard an attack tried, for example ``margin loss, 20 steps`` or ``plus``; empty for one step.

    What a name alone means in the field is not said: the standard version, and cross-entropy as the loss.
    """
    version, loss = measurement.settings.get("version"), measurement.settings.get("loss")
    parts = [version] if isinstance(version, str) and version != "standard" else []
    if isinstance(loss, str) and loss != "cross_entropy" and loss not in measurement.name:
        parts.append(f"{loss} loss")
    for field in ("steps", "restarts"):
        value = measurement.settings.get(field)
        if isinstance(value, int) and value > 1:
            parts.append(f"{value} {field}")
    return ", ".join(parts)


def strength_field(measurement: Measurement) -> str:
    """Return the field of a perturbation's settings that holds its strength; ``strength`` if none does."""
    for field, value in measurement.settings.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if field != "seed" and is_number and value == measurement.strength:
            return field
    return "strength"


def technique_name(technique: dict[str, Any] | None) -> str:
    """Return a method, objective or attack with its fields, for example ``fulllora (r=8)``; ``-`` for None."""
    if technique is None:
        return "-"
    fields = ", ".join(f"{field}={value}" for field, value in technique.items() if field != "name")
    name = str(technique.get("name", "unnamed"))
    return f"{name} ({fields})" if fields else name


def class_name(data: DataInfo, label: int) -> str:
    """Return the name of a class, or its number where the data set has no name for it."""
    return data.classes[label] if 0 <= label < len(data.classes) else f"class {label}"


def data_text(data: DataInfo) -> str:
    """Return for example ``digits, test split, 360 images of 16 x 16 pixels in 10 classes``."""
    height, width = data.image_size
    return (
        f"{data.name}, {data.split} split, {data.n:,} images of {height} x {width} pixels "
        f"in {len(data.classes):,} classes"
    )


def date_text(record: AuditRecord) -> str:
    """Return the day of completion, for example ``2026-01-31``; ``-`` where the record has none."""
    return record.created[:10] or "-"
