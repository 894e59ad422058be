"""How near is a step of adversarial tuning to its limit, and what do others take for it?

    OMP_NUM_THREADS=1 python benchmarks/training_step.py

A step is that of the training loop (`Stepper.step`): PGD-10, the parameter pass, clipping and the optimiser, on ViT-Ti
at 224 px, and at 32 px with patches of 4. Beside it, in the same run and in turn with it:

(a)  the limit ``10 x (forward + input gradient) + (forward + backward of full tuning)`` of the bare model: no adapter,
     no projection, no optimiser
(b)  what people write today: PEFT's LoRA on the same layers, torchattacks' PGD in the loop, AdamW; (b) / (a) is the
     most that can be gained over it
(c)  ART's adversarial trainer on the same PEFT model

Every row is done once a round, right between two runs of the limit, and its ratio is to the mean of these two. Given
are the median of the ratios with their quartiles, and the ratio of the shortest times, which a busy machine disturbs
less. Bytes are those that autograd holds for backward passes at their peak within a step, the model's own tensors left
out; they are compared with full tuning of the bare model, row (a). LoRA's folded weights, 21 MiB, are among them, whose
share falls with the batch (`training_bytes.py`). Times do not depend on the weights, which are random unless given.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import robustpeft as rp
from attacks import as_split, line
from robustpeft.attacks import PGD
from robustpeft.backbones import ImageClassifier
from robustpeft.objectives import AWP, MART, TRADES, Objective, PgdAt
from robustpeft.pet import PETMethod
from robustpeft.training import Task, TrainingPlan
from robustpeft.training.cost import SavedBytes
from robustpeft.training.memory import AtOnce
from robustpeft.training.processes import Processes
from robustpeft.training.stepper import Step, Stepper
from robustpeft.types import Linf

STEPS, EPSILON, STEP_SIZE = 10, 4 / 255, 1 / 255
COMPONENTS = ("q", "k", "v", "proj", "fc1", "fc2")
LIMIT, PEFT, ART = "(a) the limit", "(b) PEFT LoRA, torchattacks", "(c) PEFT LoRA, ART"
GOALS = {"LoRA, pgd_at": 1.08, "FullLoRA, pgd_at": 1.10}
GOAL_BYTES = 0.65


@dataclass(frozen=True)
class Setting:
    """A network and a batch."""

    image_size: int
    patch_size: int
    batch: int
    weights: Path | None

    def load(self) -> ImageClassifier:
        """Return ViT-Ti with a new head of ten classes."""
        sizes = {"image_size": self.image_size, "patch_size": self.patch_size}
        return rp.load_backbone("vit_tiny_patch16_224", 10, self.weights, **sizes)

    def draw(self) -> tuple[Tensor, Tensor]:
        """Return noise as images, with labels."""
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(self.batch, 3, self.image_size, self.image_size, generator=generator)
        return images, torch.arange(self.batch) % 10


@dataclass(frozen=True)
class Row:
    """A step that can be repeated, the model whose own tensors do not count as saved, and who steps if it is ours."""

    run: Callable[[], object]
    model: nn.Module
    stepper: Stepper | None = None


def main() -> None:
    """Measure the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="timm vit_tiny_patch16_224; random by default")
    parser.add_argument("--repeat", type=int, default=7, help="rounds")
    parser.add_argument("--batch", type=int, nargs=2, default=[8, 32], help="images at 224 px and at 32 px")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", nargs="+", default=[""], help="rows whose names begin so; all by default")
    parser.add_argument("--parts", nargs="+", default=["224", "32"])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} threads, float32, ViT-Ti, PGD-{STEPS}, epsilon 4/255\n")
    for size, patch, batch in ((224, 16, arguments.batch[0]), (32, 4, arguments.batch[1])):
        if str(size) in arguments.parts:
            steps(Setting(size, patch, batch, arguments.weights), arguments.repeat, tuple(arguments.only))


def steps(setting: Setting, repeat: int, only: tuple[str, ...]) -> None:
    """Print the table of one setting."""
    limit = limit_of(setting)
    rows = {name: row for name, row in all_rows(setting).items() if name.startswith(only)}
    peaks = {name: peak_bytes(row) for name, row in {LIMIT: limit, **rows}.items()}  # this also warms them up
    times, ratios = in_turn(LIMIT, {LIMIT: limit, **rows}, repeat)
    print(f"## {setting.image_size} px, patches of {setting.patch_size}, batch {setting.batch}, {repeat} rounds\n")
    peers = [peer for peer in (PEFT, ART) if peer in rows]
    line(
        "step",
        "seconds",
        "to the limit (quartiles)",
        "of the shortest",
        "MiB",
        "to full tuning",
        *(f"{p[:3]} to it" for p in peers),
    )
    line(*["---"] * (6 + len(peers)))
    for name, found in times.items():
        spread, gained = "1", [""] * len(peers)
        if name in rows:
            low, middle, high = statistics.quantiles(ratios[name], n=4)
            spread = f"{middle:.3f} ({low:.3f} to {high:.3f})"
            gained = [f"{gain(ratios[peer], ratios[name]):.2f}" for peer in peers]
        shortest, of_full = min(found) / min(times[LIMIT]), peaks[name] / peaks[LIMIT]
        saved = (f"{peaks[name] / 2**20:.1f}", f"{of_full:.2f}")
        line(name, f"{statistics.median(found):.3f}", spread, f"{shortest:.3f}", *saved, *gained)
    print()
    for name in GOALS.keys() & rows.keys():
        print(f"{name}: {statistics.median(ratios[name]):.3f} of the limit, goal {GOALS[name]};", end=" ")
        print(f"{peaks[name] / peaks[LIMIT]:.2f} of the bytes of full tuning, goal {GOAL_BYTES}")
    if PEFT in rows:
        print(f"(b) / (a), the most that can be gained over (b): {statistics.median(ratios[PEFT]):.2f}")
    print(flush=True)


def in_turn(reference: str, rows: dict[str, Row], repeat: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return the seconds of every row, and their ratios to the mean of the reference on both sides of them."""
    times: dict[str, list[float]] = {name: [] for name in rows}
    ratios: dict[str, list[float]] = {name: [] for name in rows if name != reference}
    for _ in range(repeat):
        times[reference].append(seconds(rows[reference]))
        for name, found in ratios.items():
            times[name].append(seconds(rows[name]))
            times[reference].append(seconds(rows[reference]))
            found.append(times[name][-1] / statistics.mean(times[reference][-2:]))
    return times, ratios


def gain(slow: list[float], fast: list[float]) -> float:
    """Return the median over the rounds of how many times longer the one takes."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def all_rows(setting: Setting) -> dict[str, Row]:
    """Return every step but the limit by its name."""
    full_lora, attack = rp.FullLoRA(r=8), PGD(steps=STEPS, step_size=STEP_SIZE, keep="last")
    methods = {"LoRA": rp.LoRA(r=8, components=COMPONENTS), "FullLoRA": full_lora, "full tuning": rp.Full()}
    rows = {f"{name}, pgd_at": ours(setting, method, PgdAt(attack)) for name, method in methods.items()}
    for name, make in ((PEFT, peft_and_torchattacks), (ART, peft_and_art)):
        try:
            rows[name] = make(setting)
        except ImportError as error:
            print(f"({name} is left out: {error})")
    kl = PGD(steps=STEPS, step_size=STEP_SIZE, keep="last", loss="kl")
    for name, objective in (("trades", TRADES(kl)), ("mart", MART(attack)), ("awp", AWP(PgdAt(attack)))):
        rows[f"FullLoRA, {name}"] = ours(setting, full_lora, objective)
    return rows


def limit_of(setting: Setting, passes: int = STEPS) -> Row:
    """Return ``passes x (forward + input gradient) + (forward + backward of full tuning)`` of the bare model."""
    model = setting.load()
    images, labels = setting.draw()

    def run() -> None:
        model.requires_grad_(False)
        for _ in range(passes):
            points = images.clone().requires_grad_(True)
            torch.autograd.grad(F.cross_entropy(model(points), labels, reduction="sum"), points)
        model.requires_grad_(True).zero_grad(set_to_none=True)
        F.cross_entropy(model(images), labels).backward()

    return Row(run, model)


def ours(setting: Setting, method: PETMethod, objective: Objective) -> Row:
    """Return the step of the training loop, in the middle of its schedules."""
    handle = method.attach(setting.load())
    split = as_split(*setting.draw())
    plan = TrainingPlan(epochs=1, batch_size=setting.batch)
    task = Task(handle, split, split, objective, Linf(EPSILON), plan)
    stepper = Stepper(task, plan.phases()[-1], AtOnce(), Processes())
    handle.train(True)
    (batch,) = split.batches(setting.batch)
    return Row(lambda: stepper.step(batch, Step(1, 1, 2)), handle.model, stepper)


def peft_lora(setting: Setting) -> nn.Module:
    """Return PEFT's LoRA of the same rank on the same layers, behind the normalisation."""
    from peft import LoraConfig, get_peft_model

    model = setting.load()
    layers = r"blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))"
    config = LoraConfig(r=8, lora_alpha=8, target_modules=layers, modules_to_save=["head"])
    return nn.Sequential(model.normalize, get_peft_model(model.network, config))


def trained(model: nn.Module) -> list[nn.Parameter]:
    """Return what requires gradients."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def peft_and_torchattacks(setting: Setting) -> Row:
    """Return the usual loop: torchattacks puts the model into eval mode for the attack and back."""
    import torchattacks

    model = peft_lora(setting).train()
    optimizer = torch.optim.AdamW(trained(model))
    attack = torchattacks.PGD(model, eps=EPSILON, alpha=STEP_SIZE, steps=STEPS, random_start=True)
    images, labels = setting.draw()

    def run() -> None:
        found = attack(images, labels)
        optimizer.zero_grad()
        F.cross_entropy(model(found), labels).backward()
        optimizer.step()

    return Row(run, model)


def peft_and_art(setting: Setting) -> Row:
    """Return one batch of ART's trainer after Madry et al."""
    from art.defences.trainer import AdversarialTrainerMadryPGD
    from art.estimators.classification import PyTorchClassifier

    model = peft_lora(setting).train()
    images, labels = (tensor.numpy() for tensor in setting.draw())
    classifier = PyTorchClassifier(
        model,
        loss=nn.CrossEntropyLoss(),
        optimizer=torch.optim.AdamW(trained(model)),
        input_shape=images.shape[1:],
        nb_classes=10,
        clip_values=(0, 1),
        device_type="cpu",
    )
    options = {"eps": EPSILON, "eps_step": STEP_SIZE, "max_iter": STEPS}
    trainer = AdversarialTrainerMadryPGD(classifier, nb_epochs=1, batch_size=setting.batch, **options)

    def run() -> None:
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
            trainer.fit(images, labels)

    return Row(run, model)


def seconds(row: Row) -> float:
    """Return the time of one step."""
    start = time.perf_counter()
    row.run()
    return time.perf_counter() - start


def peak_bytes(row: Row) -> int:
    """Return the most bytes that autograd held at one time in a step, and warm the row up."""
    row.run()
    counter = SavedBytes(chain(row.model.parameters(), row.model.buffers()))
    with counter.counting():
        row.run()
    return counter.peak


if __name__ == "__main__":
    main()
