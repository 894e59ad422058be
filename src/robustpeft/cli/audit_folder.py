"""``robustpeft audit RUN --images DIR``: what do these runs say of images that somebody else made?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["audit_folder_of"]


def audit_folder_of(
    runs: Sequence[Path], folder: Path, output: Path | None, *, device: str, weights: str | None, trust: bool
) -> None:
    """Judge the images of a folder by every run, print one line each, and write folder_audit.json for each."""
    from robustpeft import study
    from robustpeft.report.folder_text import folder_lines

    for run in runs:
        model = study.load(run, device=str(study.find_device(device)), weights=weights, trust=trust)
        place = (output or runs[0] / "audit_of_folder") / (run.resolve().name if len(runs) > 1 else "")
        record = study.audit_folder(model, folder, output=place)
        for line in folder_lines(record):
            print(line)
        print(f"record: {place / 'folder_audit.json'}")
