"""What did tuning report? One JSON object per line in ``metrics.jsonl``, and the same for TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["Metrics"]


class Metrics:
    """Writes metrics of a run; on resume, lines after the checkpoint are dropped so that no step appears twice.

    Args:
        directory: Of the run.
        after_step: Steps already done; 0 for a new run.
    """

    def __init__(self, directory: Path, after_step: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / "metrics.jsonl"
        kept = []
        if after_step and self._path.is_file():
            lines = self._path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= after_step]
        self._path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self._board = SummaryWriter(str(directory / "tensorboard"), purge_step=after_step + 1 if after_step else None)

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Append one line, and one point per number."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        for name, value in values.items():
            if isinstance(value, int | float):
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush everything."""
        self._board.close()
