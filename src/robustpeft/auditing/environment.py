"""Where was it measured? Versions, device and threads, for the record."""

from __future__ import annotations

import platform

import torch

from robustpeft import __version__

__all__ = ["describe_environment"]


def describe_environment(device: torch.device) -> dict[str, str]:
    """Return what a repetition elsewhere may differ in.

    Args:
        device: Where the model lay.
    """
    on_gpu = device.type == "cuda"
    return {
        "robustpeft": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "machine": platform.machine(),
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "threads": str(torch.get_num_threads()),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }
