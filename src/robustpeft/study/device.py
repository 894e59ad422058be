"""On what does it run?"""

from __future__ import annotations

import torch

from robustpeft.errors import UserError

__all__ = ["find_device"]


def find_device(name: str = "auto") -> torch.device:
    """Return the device of that name; ``auto`` is CUDA where there is one, then Apple's MPS, then the CPU.

    Raises:
        UserError: If there is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"no device {name!r} here ({str(error).splitlines()[0]}); try 'auto' or 'cpu'") from error
    return device
