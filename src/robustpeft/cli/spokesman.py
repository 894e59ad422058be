"""Who speaks, when ``torchrun`` has started several processes? The first one alone."""

from __future__ import annotations

import os

__all__ = ["is_spokesman"]


def is_spokesman() -> bool:
    """Return whether this process speaks to the person; one that was started alone does, without importing torch."""
    if "WORLD_SIZE" not in os.environ:
        return True
    from robustpeft.training import is_first_process

    return is_first_process()
