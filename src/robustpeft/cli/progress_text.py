"""How does progress read? The same words in bars and in lines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from robustpeft.report.wording import number_text, percent_text

if TYPE_CHECKING:
    from robustpeft.auditing import Progress as AuditProgress
    from robustpeft.training import Progress

__all__ = ["audit_text", "bytes_text", "time_text", "tuning_text"]


def tuning_text(progress: Progress) -> str:
    """Return for example ``epoch 3/15, loss 1.203, epsilon 0.05, clean 95.0 %, robust 32.1 %, 812 images/s``.

    Accuracies are those of the validation images when they were last looked at; they are left out before. Where there
    are several phases, the name of the present one stands first: ``head: epoch 1/20, ...``.
    """
    parts = [
        f"{f'{progress.phase}: ' if progress.phase else ''}epoch {progress.epoch}/{progress.epochs}",
        f"loss {progress.loss:.3f}",
        f"epsilon {number_text(progress.epsilon)}",
    ]
    if progress.clean_accuracy is not None:
        parts.append(f"clean {percent_text(progress.clean_accuracy)} %")
    if progress.robust_accuracy is not None:
        parts.append(f"robust {percent_text(progress.robust_accuracy)} %")
    parts.append(f"{progress.images_per_second:,.0f} images/s")
    return ", ".join(parts)


def audit_text(progress: AuditProgress) -> str:
    """Return for example ``pgd@linf:0.1 (3 of 20), right 34.2 %, clean 95.0 %``."""
    return (
        f"{progress.key} ({progress.measurement} of {progress.measurements}), "
        f"right {percent_text(progress.accuracy)} %, clean {percent_text(progress.clean_accuracy)} %"
    )


def time_text(seconds: float | None) -> str:
    """Return for example ``0:45`` or ``1:02:03``; ``?`` if it is not known."""
    if seconds is None or not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def bytes_text(count: int) -> str:
    """Return for example ``512 B``, ``3.4 MB`` or ``12 GB``, in powers of 1000."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.2g} {unit}" if unit != "B" and size < 9.95 else f"{size:.0f} {unit}"
