"""What does a record say of the images that the images do not say themselves?"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AuditedData"]


@dataclass(frozen=True)
class AuditedData:
    """The names of a data set and its classes.

    Args:
        name: The data set.
        split: ``test`` or ``validation``.
        classes: Class names, label i is entry i.
        note: What a reader must know of this data, for example that it is a JPEG copy.
    """

    name: str
    split: str
    classes: tuple[str, ...]
    note: str = ""
