"""``robustpeft audit TARGET --images DIR``: what do these models say of images that somebody else made?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robustpeft.study.targets import Facts

__all__ = ["audit_folder_of"]


def audit_folder_of(
    targets: Sequence[str], folder: Path, output: Path | None, *, data: str | None, device: str, facts: Facts
) -> None:
    """Judge the images of a folder by every model, print one line each, and write folder_audit.json for each."""
    from robustpeft import study
    from robustpeft.report.folder_text import folder_lines
    from robustpeft.study.audit_folder import folder_place, settled_model

    for words in targets:
        model = settled_model(words, data, facts, str(study.find_device(device)))
        place = folder_place(words, output or folder_place(targets[0]), alone=len(targets) == 1)
        record = study.audit_folder(model, folder, output=place)
        for line in folder_lines(record):
            print(line)
        print(f"record: {place / 'folder_audit.json'}")
