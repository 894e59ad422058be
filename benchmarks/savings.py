"""What does adversarial tuning of few parameters save over adversarial tuning of all of them?

    OMP_NUM_THREADS=1 python benchmarks/savings.py --keep

The same step of the training loop (PGD-10, parameter pass, clipping, AdamW) for every technique, on ViT-Ti at 224 px
and at 32 px with patches of 4. Every technique is done once a round between two steps of full tuning, and its time is
compared with the mean of these two. Bytes are counted, not estimated: what autograd holds for backward passes at its
peak within a step, the gradients and the optimiser's state, and the files of what was trained.

The weights are random: neither times nor bytes depend on them. `--keep` writes docs/results/savings.json, from which
`scripts/generate_docs.py` writes the table of RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from training_step import STEP_SIZE, STEPS, Row, Setting, in_turn, ours, peak_bytes

import robustpeft as rp
from robustpeft.attacks import PGD
from robustpeft.objectives import PgdAt
from robustpeft.pet import AdapterHandle, PETMethod
from robustpeft.training.optimizers import optimizer_state

KEPT = Path(__file__).resolve().parent.parent / "docs" / "results" / "savings.json"
FULL = "full tuning"
METHODS: dict[str, PETMethod] = {
    FULL: rp.Full(),
    "LoRA r=6": rp.LoRA(r=6),
    "FullLoRA r=6": rp.FullLoRA(r=6),
    "FullLoRA r=16": rp.FullLoRA(r=16),
    "FullLoRA r=6 and norms": rp.Combined((rp.FullLoRA(r=6), rp.NormsAndBiases())),
}


def main() -> None:
    """Measure and print; keep the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, help="rounds")
    parser.add_argument("--keep", action="store_true", help="write docs/results/savings.json")
    arguments = parser.parse_args()
    threads = torch.get_num_threads()
    settings = [Setting(224, 16, 8, None), Setting(32, 4, 32, None)]
    found = {
        "command": f"OMP_NUM_THREADS={threads} python benchmarks/savings.py --repeat {arguments.repeat}",
        "commit": _said("git", "rev-parse", "--short", "HEAD"),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, CPU, {threads} thread{'s' * (threads > 1)}",
        "torch": torch.__version__,
        "attack": f"PGD-{STEPS}",
        "rounds": arguments.repeat,
        "settings": [measured(setting, arguments.repeat) for setting in settings],
    }
    print(json.dumps(found, indent=2))
    if arguments.keep:
        KEPT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def measured(setting: Setting, repeat: int) -> dict[str, Any]:
    """Return the times and the bytes of every technique in one setting."""
    attack = PGD(steps=STEPS, step_size=STEP_SIZE, keep="last")
    rows = {name: ours(setting, method, PgdAt(attack)) for name, method in METHODS.items()}
    counts = {name: counted(row) for name, row in rows.items()}  # this also warms them up
    times, ratios = in_turn(FULL, rows, repeat)
    for name, values in times.items():
        counts[name]["seconds"] = statistics.median(values)
        counts[name]["of_full"] = statistics.quantiles(ratios[name], n=4) if name in ratios else [1.0, 1.0, 1.0]
    return {"px": setting.image_size, "patch": setting.patch_size, "batch": setting.batch, "techniques": counts}


def counted(row: Row) -> dict[str, Any]:
    """Return parameters and bytes of one technique, after two steps."""
    assert row.stepper is not None
    activations, trained, tunable = peak_bytes(row), row.stepper.trained, row.stepper.task.tunable
    assert isinstance(tunable, AdapterHandle)
    names: dict[Tensor, str] = {parameter: name for name, parameter in trained.items()}
    in_optimizer = sum(t.nbytes for t in optimizer_state(row.stepper.optimizer, names).values())
    with tempfile.TemporaryDirectory() as folder:
        tunable.save(folder)
        disk = sum(file.stat().st_size for file in Path(folder).iterdir())
    return {
        "trained": sum(p.numel() for p in trained.values()),
        "parameters": sum(p.numel() for p in row.model.parameters()),
        "saved_bytes": activations,
        "gradient_and_optimizer_bytes": in_optimizer + sum(p.nbytes for p in trained.values()),
        "disk_bytes": disk,
    }


def _said(*command: str) -> str:
    return subprocess.run(command, cwd=KEPT.parent, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
