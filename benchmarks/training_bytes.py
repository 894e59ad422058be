"""What does adversarial tuning of few parameters save in memory, by the size of the batch, and on disk?

    OMP_NUM_THREADS=1 python benchmarks/training_bytes.py

Counts, which no busy machine disturbs and which do not depend on the weights; what is counted, `training_step.py` says.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from training_step import COMPONENTS, GOAL_BYTES, STEP_SIZE, Setting, limit_of, ours, peak_bytes

import robustpeft as rp
from attacks import line
from robustpeft.attacks import PGD
from robustpeft.objectives import PgdAt


def main() -> None:
    """Print both tables."""
    saved_by_batch()
    disk()


def saved_by_batch() -> None:
    """Print the bytes by the size of the batch; one step of PGD stands for all, since each frees what it held."""
    attack = PGD(steps=1, step_size=STEP_SIZE, keep="last")
    methods = {"LoRA": rp.LoRA(r=8, components=COMPONENTS), "FullLoRA": rp.FullLoRA(r=8)}
    print(f"## MiB that autograd holds at the peak of a step, goal {GOAL_BYTES} of full tuning of the bare model\n")
    line("px", "batch", "(a) the limit", *(f"{name}, pgd_at (to (a))" for name in methods))
    line(*["---"] * (3 + len(methods)))
    for size, patch, batches in ((224, 16, (8, 32, 128)), (32, 4, (32, 128, 512))):
        for batch in batches:
            setting = Setting(size, patch, batch, None)
            bare = peak_bytes(limit_of(setting, passes=1))
            peaks = [peak_bytes(ours(setting, method, PgdAt(attack))) for method in methods.values()]
            found = (f"{peak / 2**20:.1f} ({peak / bare:.3f})" for peak in peaks)
            line(str(size), str(batch), f"{bare / 2**20:.1f}", *found)
    print(flush=True)


def disk() -> None:
    """Print what adapters of ViT-B take on disk beside the model."""
    model = rp.load_backbone("vit_base_patch16_224", 10, None)
    whole = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    print(f"## Disk, ViT-B of {whole / 2**20:.0f} MiB, ten classes a task\n")
    line("adapter", "MiB", "of the model (goal under 5 %)", "100 tasks on one backbone, in models (goal at most 6)")
    line(*["---"] * 4)
    methods = {"LoRA r=8, every linear map": rp.LoRA(r=8, components=COMPONENTS), "FullLoRA r=8": rp.FullLoRA(r=8)}
    for name, method in methods.items():
        handle = method.attach(model)
        with tempfile.TemporaryDirectory() as folder:
            handle.save(folder)
            size = sum(file.stat().st_size for file in Path(folder).iterdir())
        handle.detach()
        line(name, f"{size / 2**20:.1f}", f"{100 * size / whole:.2f} %", f"{1 + 100 * size / whole:.2f}")
    print()


if __name__ == "__main__":
    main()
