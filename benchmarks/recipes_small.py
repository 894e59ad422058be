"""What comes out of the shipped recipes at a scale that two CPU cores carry? One seed; a smoke test, not a comparison.

    python benchmarks/recipes_small.py --weights VIT_TI.safetensors --cifar TRAIN.parquet TEST.parquet \
        --many TRAIN.parquet TEST.parquet --imagenette TRAIN.parquet TEST.parquet

Every recipe is run as it stands but for: a ViT-Ti instead of a ViT-B, 500 training images, few epochs and a batch of
32, an adversary of 3 steps of half epsilon while tuning, validation on 100 images, and the data that are at hand (for
CIFAR-100 a many-class set, for a folder or ImageNet CIFAR-10). Judged by PGD-20 on 200 test images; the frozen network
with a linear probe is judged beside each. Everything lies in ``runs/recipes``; what is there already is not run again.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import torch

from robustpeft.attacks import PGD
from robustpeft.auditing import AuditPlan
from robustpeft.objectives import Mix
from robustpeft.study import audit, load, read_recipe, tune_recipe
from robustpeft.study.undefended import load_undefended
from robustpeft.types import to_plain

SMALL = ("training.train_images=500", "training.batch_size=32", "training.selection_images=100")


def main() -> None:
    """Run and judge each recipe, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--cifar", nargs=2, required=True)
    parser.add_argument("--many", nargs=2, required=True)
    parser.add_argument("--imagenette", nargs=2, required=True)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--output", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--only", nargs="*")
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, ViT-Ti, seed 0, {arguments.images} images")
    print("| recipe | data | clean | PGD-20 | linear probe: clean | PGD-20 | seconds of tuning |")
    print("|---|---|---|---|---|---|---|")
    at_32 = ("backbone.image_size=32", "backbone.patch_size=4")
    jobs = {
        "fulllora-cifar10": (arguments.cifar, at_32),
        "fulllora-cifar100": (arguments.many, at_32),
        "mo2022": (arguments.cifar, at_32),
        "eps-sched": (arguments.cifar, at_32),
        "roli": (arguments.cifar, (*at_32, f"training.before.0.epochs={arguments.epochs}")),
        "fulllora-imagenette": (arguments.imagenette, ("training.epochs=3",)),
    }
    for name, (data, changes) in jobs.items():
        if arguments.only and name not in arguments.only:
            continue
        train, test = data
        backbone = ("backbone.name=vit_tiny_patch16_224", f"backbone.weights={arguments.weights}")
        epochs = f"training.epochs={arguments.epochs}"
        where = f"data={{source: parquet, train: {train}, test: {test}}}"
        recipe = read_recipe(name)
        path = "objective.objective.attack" if isinstance(recipe.objective, Mix) else "objective.attack"
        assert recipe.threat is not None
        quick = (f"{path}.steps=3", f"{path}.step_size={recipe.threat.epsilon / 2}")
        run(name, (*backbone, where, *SMALL, *quick, epochs, *changes), arguments.output / name, arguments.images)


def run(name: str, changes: tuple[str, ...], directory: Path, images: int) -> None:
    """Tune, judge and print."""
    recipe = read_recipe(name, changes)
    start = time.perf_counter()
    if not (directory / "adapter_config.json").exists():
        tune_recipe(recipe, directory, resume=directory.exists())
    seconds = time.perf_counter() - start
    data = recipe.data.load(load(directory).image_size)
    threat = recipe.threat
    assert threat is not None
    plan = AuditPlan(epsilons=(threat.epsilon,), attacks=(PGD(steps=20),), perturbations=(), images=images, gallery=0)
    found = []
    for model in (load(directory), load_undefended(directory, data, "cpu")[1]):
        record = audit(model, data, plan=plan)
        found += [record["clean"].correct, record.of("attack", "pgd")[-1].correct]
    cells = [f"{rate.count}/{rate.n}" for rate in found]
    plain = to_plain(dataclasses.replace(recipe), ())
    what = f"{Path(plain['data']['test']).stem} at {threat}"
    print(f"| {name} | {what} | {' | '.join(cells)} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
