"""How fast are our attacks, side by side with others at their best and with the physical limit?

    python benchmarks/attacks.py --weights ViT_TI.safetensors --images IMAGENETTE.parquet --robust RUN

Parts (``--parts``, all by default):

limit       full-length PGD-10 without early exit: ours, torchattacks, foolbox and ART, against the limit
            ``10 x (forward + input gradient) + forward`` of the bare merged model, measured in the same run
undefended  PGD-100 and AutoAttack on a model that nothing defends, against the same attacks of others
robust      AutoAttack on the images of an adversarially tuned run that hold: forward-equivalents, and the time against
            passes x the measured cost of a pass, with what it is lost to
overhead    the driver's own time per pass, the ledger's bytes and microseconds per row

Peers run in eval mode, on the same batch, with the same threads; once on the model as a user holds it (LoRA attached,
parameters trainable) and once on our merged, frozen view. A peer that is not installed is left out. Without weights and
images the network is random and the images are noise: times are then right, accuracies mean nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from attack_peers import PEERS, Counted, reference_autoattack, saved_bytes
from torch import Tensor, nn
from torch.nn import functional as F

import robustpeft as rp
from robustpeft.attacks import PGD, Attack, AttackPlan, AutoAttack, Driver
from robustpeft.attacks.slots import Slots
from robustpeft.data import Parquet, load_data
from robustpeft.data.image_store import InMemory
from robustpeft.data.split import Split
from robustpeft.records import LedgerRow
from robustpeft.study.audit_runs import images_of
from robustpeft.types import Linf, attack_view

IMAGENETTE_IN_IMAGENET = (0, 217, 482, 491, 497, 566, 569, 571, 574, 701)
EPSILON = 4 / 255
ATTACKS = {"AutoAttack": AutoAttack(), "PGD-100": PGD(steps=100)}


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=["limit", "undefended", "robust", "overhead"])
    parser.add_argument("--weights", type=Path, help="timm vit_tiny_patch16_224, 1000 classes, safetensors")
    parser.add_argument("--images", type=Path, help="Imagenette at 224 px, parquet")
    parser.add_argument("--robust", type=Path, help="an adversarially tuned run")
    parser.add_argument("--n", type=int, default=32, help="images")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--attack", choices=ATTACKS, default="AutoAttack", help="for the part robust")
    parser.add_argument("--slots", type=int, nargs="+", default=[32], help="for the part robust")
    parser.add_argument(
        "--processor-time", action="store_true", help="for robust and overhead, one thread: other work does not count"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} threads, {arguments.n} images, epsilon 4/255\n")
    clock = time.process_time if arguments.processor_time else time.perf_counter
    if {"limit", "undefended"} & set(arguments.parts):
        model = build_model(arguments.weights)
        images, labels = read_images(arguments.images, arguments.n)
    if "limit" in arguments.parts:
        limit(model, images, labels, arguments.repeat)
    if "undefended" in arguments.parts:
        undefended(model, images, labels)
    if "robust" in arguments.parts and arguments.robust:
        print(f"## {arguments.attack} on images that hold\n")
        for width in arguments.slots:
            robust(arguments.robust, ATTACKS[arguments.attack], arguments.n, min(width, arguments.n), clock)
    if "overhead" in arguments.parts:
        overhead(clock)


def build_model(weights: Path | None) -> nn.Module:
    """Return ViT-Ti for ten classes with a LoRA on every linear map of its blocks, as a user holds it."""
    model = rp.load_backbone(
        "vit_tiny_patch16_224", weights=None, num_classes=1000 if weights else 10, mean=(0.5,) * 3, std=(0.5,) * 3
    )
    if weights:
        model = rp.load_backbone("vit_tiny_patch16_224", weights=weights)
        head = model.network.head
        rows = torch.tensor(IMAGENETTE_IN_IMAGENET)
        small = nn.Linear(head.in_features, 10)
        small.weight.data, small.bias.data = head.weight.data[rows].clone(), head.bias.data[rows].clone()
        model.network.head = small
        model.num_classes = 10
    handle = rp.LoRA(r=8, components=("q", "k", "v", "proj", "fc1", "fc2")).attach(model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in handle.named_parameters().items():
            if ".B." in name:  # as if trained: a branch that is 0 would hide mistakes in merging
                parameter.normal_(0, 1e-3, generator=generator)
    return model.eval()


def read_images(file: Path | None, n: int) -> tuple[Tensor, Tensor]:
    """Return n images in [0, 1] with labels, from a Parquet file or noise."""
    if file is None:
        generator = torch.Generator().manual_seed(0)
        return torch.rand(n, 3, 224, 224, generator=generator), torch.arange(n) % 10
    split = load_data(Parquet(test=str(file)), image_size=224).test.take(n)
    (batch,) = split.batches(n)
    return batch.images, batch.labels


def limit(model: nn.Module, images: Tensor, labels: Tensor, repeat: int) -> None:
    """PGD-10 without early exit."""
    view = attack_view(model)
    steps = 10

    def bare() -> None:
        for _ in range(steps):
            points = images.clone().requires_grad_(True)
            torch.autograd.grad(F.cross_entropy(view(points), labels, reduction="sum"), points)
        with torch.no_grad():
            view(images)

    ours = PGD(steps=steps, step_size=1 / 255)
    rows: dict[str, Callable[[], object]] = {
        "limit: 10 x (forward + input gradient) + forward, merged": bare,
        "robustpeft PGD": lambda: ours(model, images, labels, Linf(EPSILON)),
    }
    for name, peer in PEERS.items():
        rows[f"{name} PGD, model as held"] = lambda peer=peer: peer(model, images, labels, EPSILON, 1 / 255, steps)
        rows[f"{name} PGD, merged and frozen"] = lambda peer=peer: peer(view, images, labels, EPSILON, 1 / 255, steps)
    times: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(repeat):
        for name, run in rows.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    held = saved_bytes(model, images[:1], labels[:1])
    merged = saved_bytes(view, images[:1], labels[:1])
    print("## Full-length PGD-10, no early exit\n")
    print(
        "| attack | seconds (median) | ratio to the limit (median of rounds) | saved MiB an image |\n|---|---|---|---|"
    )
    base = times[next(iter(rows))]
    for name, found in times.items():
        ratio = statistics.median(mine / limit for mine, limit in zip(found, base, strict=True))
        memory = held if "as held" in name else merged
        line(name, f"{statistics.median(found):.2f}", f"{ratio:.3f}", f"{memory / 2**20:.1f}")
    print()


def undefended(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    """PGD-100 and AutoAttack on a model that falls."""
    view, split = attack_view(model), as_split(images, labels)
    print("## An undefended model\n")
    line("attack", "by", "seconds", "ours is faster by", "forwards", "backwards", "correct")
    line(*["---"] * 7)
    for attack, name in ((PGD(steps=100, step_size=1 / 255), "PGD-100"), (AutoAttack(), "AutoAttack")):
        start = time.perf_counter()
        findings = Driver().run(model, split, AttackPlan((attack,), (Linf(EPSILON),)))
        ours = time.perf_counter() - start
        correct = int(findings.correct(split.ids.tolist(), 0, 0).sum())
        line(name, "robustpeft", f"{ours:.1f}", "", *spent(findings.rows.values()), f"{correct}/{len(labels)}")
        for who, run in peers_of(name, images, labels).items():
            for how, given in (("as held", model), ("merged and frozen", view)):
                counted = Counted(given)
                start = time.perf_counter()
                with contextlib.redirect_stdout(io.StringIO()):
                    found = run(counted)
                seconds = time.perf_counter() - start
                with torch.no_grad():
                    correct = int((model(found).argmax(1) == labels).sum())
                cost = (counted.forwards, counted.backwards, f"{correct}/{len(labels)}")
                line(name, f"{who}, {how}", f"{seconds:.1f}", f"{seconds / ours:.1f}x", *cost)
    print()


def peers_of(name: str, images: Tensor, labels: Tensor) -> dict[str, Callable[[nn.Module], Tensor]]:
    """Return who else has this attack."""
    if name == "AutoAttack":
        reference = reference_autoattack
        return {} if reference is None else {"pyautoattack": lambda m: reference(m, images, labels, EPSILON)}
    return {who: lambda m, p=peer: p(m, images, labels, EPSILON, 1 / 255, 100) for who, peer in PEERS.items()}


def robust(run: Path, attack: Attack, n: int, width: int, clock: Callable[[], float]) -> None:
    """An attack on images that hold: passes, and the time against their cost."""
    model = rp.load(run).eval()
    data = images_of(None, run, model).test.take(n)
    threat = model.threat or Linf(0.1)
    batch = next(iter(data.batches(width)))
    batches: list[Slots] = []

    def seated(*given: Any) -> Slots:
        batches.append(Slots(*given))
        return batches[-1]

    before = pass_seconds(attack_view(model), batch.images, batch.labels, clock)
    start = clock()
    with mock.patch("robustpeft.attacks.undertaking.Slots", seated):
        findings = Driver(slots=width).run(model, data, AttackPlan((attack,), (threat,)))
    taken = clock() - start
    after = pass_seconds(attack_view(model), batch.images, batch.labels, clock)
    seconds = {name: (before[name] + after[name]) / 2 for name in before}
    cost = seconds["gradient"] / seconds["forward"] - 1
    ids = data.ids.tolist()
    held = {image for image, ok in zip(ids, findings.correct(ids, 0, 0).tolist(), strict=True) if ok}
    rows = list(findings.rows.values())
    print(f"{len(held)} of {n} held within {threat}; {width} slots.")
    if held:
        f, b = (total / len(held) for total in spent(row for row in rows if row.image in held))
        print(f"Each took {f:.0f} forwards and {b:.0f} input gradients: {f + 1.12 * b:.0f} forward-equivalents at 1.12")
        print(f"forwards a backward, {f + cost * b:.0f} at the {cost:.2f} measured here.")
    forwards, backwards = spent(rows)
    needed = (backwards * seconds["gradient"] + (forwards - backwards) * seconds["forward"]) / width
    whole = 0.0
    for part in batches:
        f, b = spent(row for row in rows if row.stage == part.work.stage)
        whole += part.passes * (seconds["forward"] + b / f * (seconds["gradient"] - seconds["forward"]))
    idle = sum(part.idle for part in batches) / (width * sum(part.passes for part in batches))
    print(f"Time {taken:.1f} s; the passes that images needed, in full batches, cost {needed:.1f} s: ratio")
    print(f"{taken / needed:.3f}. {100 * idle:.0f} % of the places in the batches were idle, for want of images; the")
    print(f"batches as they were passed cost {whole:.1f} s, and search, driver, judge {taken / whole - 1:.1%} more.\n")


def spent(rows: Iterable[LedgerRow]) -> tuple[int, int]:
    """Return the forwards and backwards of some rows."""
    pairs = [(row.forwards, row.backwards) for row in rows]
    return sum(forwards for forwards, _ in pairs), sum(backwards for _, backwards in pairs)


def line(*cells: object) -> None:
    """Print a line of a table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def as_split(images: Tensor, labels: Tensor) -> Split:
    """Return images and labels as a split, rounded to 8 bits as they were read."""
    pixels = (images * 255).round().to(torch.uint8)
    return Split(InMemory(pixels), torch.arange(len(labels)), labels, torch.arange(len(labels)))


def pass_seconds(view: nn.Module, images: Tensor, labels: Tensor, clock: Callable[[], float]) -> dict[str, float]:
    """Return the median seconds of a forward, and of a forward with input gradient, of this batch."""
    found: dict[str, list[float]] = {"forward": [], "gradient": []}
    for _ in range(30):
        start = clock()
        with torch.no_grad():
            view(images)
        middle = clock()
        points = images.clone().requires_grad_(True)
        torch.autograd.grad(F.cross_entropy(view(points), labels, reduction="sum"), points)
        end = clock()
        found["forward"].append(middle - start)
        found["gradient"].append(end - middle)
    return {name: statistics.median(times) for name, times in found.items()}


def overhead(clock: Callable[[], float]) -> None:
    """The driver's own time per pass on the smallest model, and the ledger's cost per row."""
    model = rp.load_backbone("digits_vit").eval()
    data = rp.load_data("digits").test.take(64)
    width = 32
    batch = next(iter(data.batches(width)))
    bare = pass_seconds(attack_view(model), batch.images, batch.labels, clock)["gradient"]
    print(f"## The driver itself (digits_vit, {width} slots)\n")
    plan = AttackPlan((PGD(steps=200, step_size=1e-6),), (Linf(1e-4),))  # nothing breaks: 201 full passes a batch
    with tempfile.TemporaryDirectory() as folder:
        for directory in (None, Path(folder)):
            start = clock()
            findings = Driver(slots=width, directory=directory).run(model, data, plan)
            seconds = clock() - start
            a_pass = seconds / (spent(findings.rows.values())[1] / width)
            where = "in memory" if directory is None else "with a ledger and snapshots"
            print(f"{where}: {1e3 * a_pass:.2f} ms a pass, {100 * (a_pass / bare - 1):.1f} % over the bare forward and")
            print(f"input gradient ({1e3 * bare:.2f} ms)")
        size = sum(file.stat().st_size for file in Path(folder).glob("*.jsonl"))
        print(f"ledger: {size / len(findings.rows):.0f} bytes a row")


if __name__ == "__main__":
    main()
