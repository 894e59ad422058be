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
        outside: What was done to every image before epsilon is imposed, in order: out of the adversary's reach.
    """

    name: str
    split: str
    classes: tuple[str, ...]
    note: str = ""
    outside: tuple[str, ...] = ()
