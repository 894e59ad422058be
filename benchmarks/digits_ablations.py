"""What does FullLoRA on the digits owe to each of its parts? One change at a time, three seeds each.

    python benchmarks/digits_ablations.py             # 15 runs with one thread each

The learning rate is that of the recipe for all, so an arm that would like another one is shown at a disadvantage: read
large differences only. Judged by PGD-20 at epsilon 0.1 on all 359 test images. A run that lies in the output directory
already is not run again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from robustpeft.study.arms import DIGITS_JUDGE, DIGITS_SEEDS, Arm, Comparison, compare_arms, comparison_table

RATE = (2e-2,)
BASE = "FullLoRA"
ALL = "[patch_embed, q, k, v, proj, fc1, fc2]"

ARMS = (
    Arm(BASE, "fulllora-digits", RATE),
    Arm(
        "without the LayerNorms",
        "fulllora-digits",
        RATE,
        ("method={name: lora, r: 4, components: " + ALL + "}",),
    ),
    Arm("without the patch embedding", "fulllora-digits", RATE, ("method.patch_embed=false",)),
    Arm("patch embedding, eps 1e-5", "fulllora-digits", RATE, ("method.patch_embed_eps=1.0e-5",)),
    Arm("without the epsilon ramp", "fulllora-digits", RATE, ("training.epsilon_ramp.end=0.0",)),
)


def main() -> None:
    """Run the ablations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/digits_ablations"))
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    for result in compare_arms(ARMS, DIGITS_JUDGE, arguments.output, seeds=DIGITS_SEEDS, workers=arguments.workers):
        if isinstance(result, Comparison):
            print(comparison_table(result, reference=BASE))
        else:
            print(result, flush=True)


if __name__ == "__main__":
    main()
