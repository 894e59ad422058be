"""Is our AutoAttack the reference's? Verdicts on 500 images against five reference seeds.

    python benchmarks/autoattack_fidelity.py            # about 20 minutes on two cores
    python benchmarks/autoattack_fidelity.py --keep     # and writes docs/results/autoattack-fidelity.md

The reference is `pyautoattack`, a port of the authors' code, with its standard version, run with five seeds; ours is
run with the same number. The model is an honest one: a small convolutional network, adversarially trained on the
bundled digits for a minute with a fixed seed. Goal: against any reference run we disagree on no more images than any
two reference runs do among themselves, plus one. (That the single iterates are the same too, with the reference's
random draws injected, is in the tests of each attack.)
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import robustpeft as rp
from robustpeft.attacks import PGD, AttackPlan, AutoAttack, Driver
from robustpeft.data.split import Split
from robustpeft.types import L2, Linf, Threat

KEPT = Path("docs/results/autoattack-fidelity.md")
THREATS = (Linf(0.2), L2(1.5))


class Net(nn.Module):
    """Three convolutions and a linear head; nothing random, nothing masked."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1),
            nn.GELU(),
            nn.Conv2d(16, 32, 3, 2, 1),
            nn.GELU(),
            nn.Conv2d(32, 32, 3, 2, 1),
            nn.GELU(),
        )
        self.head = nn.Linear(32 * 4, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.body(images - 0.5).flatten(1))


def main() -> None:
    """Train the model, attack it ten times under each threat, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    images, labels, split = draw(arguments.images)
    model = train(images, labels)
    with torch.no_grad():
        clean = (model(images).argmax(1) == labels).sum().item()
    lines = [
        f"{arguments.images} digits, a convolutional network of {sum(p.numel() for p in model.parameters()):,} "
        f"parameters, {clean} classified correctly; {arguments.seeds} seeds each; torch {torch.__version__}, 1 thread.",
        "",
        "| threat | correct, reference | correct, ours | disagreements among reference runs | between ours and a "
        "reference run | goal | seconds a run, reference | ours |",
        "|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for threat in THREATS:
        lines.append(compare(model, images, labels, split, threat, range(arguments.seeds)))
        print(lines[-1], flush=True)
    if arguments.keep:
        command = "python benchmarks/autoattack_fidelity.py --keep"
        KEPT.write_text(
            f"# Our AutoAttack against the reference\n\nWritten by `{command}`.\n\n" + "\n".join(lines) + "\n"
        )


def draw(n: int) -> tuple[Tensor, Tensor, Split]:
    """Return n digits of all splits, and the same as a split."""
    data = rp.load_data("digits")
    split = data.train.take(n, 0)
    (batch,) = split.batches(n)
    return batch.images, batch.labels, split


def train(images: Tensor, labels: Tensor) -> nn.Module:
    """Return the network, adversarially trained on these images: how it generalises does not matter here."""
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    attack = PGD(steps=5, keep="last")
    for epoch in range(60):
        order = torch.randperm(len(images))
        for part in order.split(100):
            found = attack(model, images[part], labels[part], Linf(0.15 * min(1.0, epoch / 20)), seed=epoch)
            optimizer.zero_grad()
            F.cross_entropy(model(found), labels[part]).backward()
            optimizer.step()
    return model.eval()


def compare(
    model: nn.Module, images: Tensor, labels: Tensor, split: Split, threat: Threat, seeds: Sequence[int]
) -> str:
    """Return a line of the table."""
    start = time.perf_counter()
    theirs = [reference(model, images, labels, threat, seed) for seed in seeds]
    middle = time.perf_counter()
    ours = [
        Driver(slots=32)
        .run(model, split, AttackPlan((AutoAttack(),), (threat,), seed))
        .correct(split.ids.tolist(), 0, 0)
        for seed in seeds
    ]
    end = time.perf_counter()
    pairs = [int((a != b).sum()) for a, b in itertools.combinations(theirs, 2)]
    among = max(pairs)
    between = [[int((a != b).sum()) for b in theirs] for a in ours]
    worst = max(max(row) for row in between)
    verdict = "reached" if worst <= among + 1 else f"missed (at most {among + 1})"
    return (
        f"| {threat} | {_range(theirs)} | {_range(ours)} | {among} at most, {sum(pairs) / len(pairs):.1f} on average | "
        f"{worst} at most, {sum(map(sum, between)) / len(seeds) ** 2:.1f} on average | {verdict} | "
        f"{(middle - start) / len(seeds):.0f} | {(end - middle) / len(seeds):.0f} |"
    )


def reference(model: nn.Module, images: Tensor, labels: Tensor, threat: Threat, seed: int) -> Tensor:
    """Return which images hold under the reference."""
    import pyautoattack

    norm = {"linf": "Linf", "l2": "L2"}[threat.norm]
    with contextlib.redirect_stdout(io.StringIO()):
        adversary = pyautoattack.AutoAttack(model, norm=norm, eps=threat.epsilon, seed=seed, version="standard")
        adversary.verbose = False
        found = adversary.run_standard_evaluation(images, labels, batch_size=len(images))
    found = found[0] if isinstance(found, tuple) else found
    with torch.no_grad():
        return model(found).argmax(1) == labels


def _range(runs: Sequence[Tensor]) -> str:
    counts = sorted(int(run.sum()) for run in runs)
    return f"{counts[0]} to {counts[-1]}"


if __name__ == "__main__":
    main()
