"""Train the bundled `digits_vit` in the ordinary way on the training split of the digits and write its weights.

    python scripts/train_digits_vit.py --output src/robustpeft/backbones/digits_vit.safetensors

It sees no adversary and no test image; the epoch with the most validation images right is kept. On one CPU thread the
same versions give the same weights; their SHA-256, the versions and the accuracies are printed and stored in the file.
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

import torch
from safetensors.torch import save_file

from robustpeft.backbones import Backbone, ImageClassifier
from robustpeft.data import Augment, Digits
from robustpeft.objectives import Natural
from robustpeft.pet import Full
from robustpeft.training import Task, TrainingPlan, fit
from robustpeft.types import Linf


def train(epochs: int, directory: Path, seed: int = 0) -> tuple[ImageClassifier, dict[str, str]]:
    """Return the trained classifier and the facts of its training.

    Args:
        epochs: Passes over the 1,078 training images.
        directory: For metrics and checkpoints.
        seed: Of the initial weights, the order and the shifts.
    """
    data = Digits().load(16)
    model = Backbone("digits_vit", weights=False, num_classes=10, seed=seed).load()
    plan = TrainingPlan(epochs=epochs, learning_rate=2e-3, weight_decay=0.05, validations=min(epochs, 20))
    augment = Augment(crop_padding=0.125, flip=False, padding="zero")
    handle = Full().attach(model, seed=seed)
    result = fit(Task(handle, data.train, data.validation, Natural(), Linf(0.0), plan, augment, seed), directory)
    model.eval()
    with torch.no_grad():
        right = sum(int((model(b.images).argmax(1) == b.labels).sum()) for b in data.test.batches(128))
    facts = {
        "epochs": str(epochs),
        "best_epoch": str(result.best_epoch),
        "seed": str(seed),
        "validation": f"{result.scores.clean} of {result.scores.n} right",
        "test": f"{right} of {len(data.test)} right",
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
    return model, facts


def main() -> None:
    """Train and write the weights in float16."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--run", type=Path, default=Path("runs/digits_vit"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model, facts = train(arguments.epochs, arguments.run)
    weights = {name: tensor.half() for name, tensor in model.frozen_state().items()}
    save_file(weights, arguments.output, metadata={"script": "scripts/train_digits_vit.py", **facts})
    print(f"{arguments.output}: {arguments.output.stat().st_size:,} bytes; {facts}")


if __name__ == "__main__":
    main()
