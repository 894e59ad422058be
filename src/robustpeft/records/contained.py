"""Does a file that is named, or linked to, within a folder lie in that folder? What came from elsewhere may lie."""

from __future__ import annotations

from pathlib import Path

from robustpeft.errors import UserError

__all__ = ["contained"]


def contained(folder: Path, name: str) -> Path:
    """Return the path of `name` in `folder`, whether there is such a file or not.

    The cache of the Hugging Face hub keeps a snapshot as links to ``blobs`` beside it; these are followed.

    Args:
        folder: The one that a person chose.
        name: A relative path that a file in it may have named.

    Raises:
        UserError: If it leads out of the folder, by its words or as a link.
    """
    root = folder.resolve()
    if "\0" in name:
        raise UserError(f"a path in {folder} holds a zero byte; nothing was read")
    found = (root / name).resolve()
    allowed = [root]
    if root.parent.name == "snapshots":
        allowed.append(root.parent.parent / "blobs")
    if not any(found.is_relative_to(place) for place in allowed):
        raise UserError(f"{folder / name} leads out of {folder}; it is not read")
    return folder / name
