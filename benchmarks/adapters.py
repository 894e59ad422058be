"""What does an adapter cost: to import, to attach, in a forward pass, in an input gradient, in memory?

    python benchmarks/adapters.py --weights vit_tiny_patch16_224.in1k.safetensors --keep      # some minutes

A ViT-Ti/16 at 224 px with branches of rank 8 on q, k, v, proj, fc1 and fc2: bare, ours as it trains, ours in
`attack_view`, an LNLoRA module written down naively, and PEFT's LoRA. All are measured in each repetition, in an order
that changes, and compared within it; the table has medians, and quartiles of the ratio to the bare network. Saved
memory is what autograd keeps for the input gradient, besides weights. Goals: ours unmerged never slower than PEFT's
LoRA; the view of LoRA within 2 % of the bare network; the view of LNLoRA loses at most half of what the naive module
loses. Without --weights, or with a path where nothing is, weights are random: the times are the same.
"""

from __future__ import annotations

import argparse
import copy
import platform
import random
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import peft
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import robustpeft as rp
from robustpeft.backbones import ImageClassifier
from robustpeft.pet import PETMethod
from robustpeft.pet.low_rank import LowRankConv, LowRankLinear

RANK = 8
COMPONENTS = ("q", "k", "v", "proj", "fc1", "fc2")
LAYERS = ("qkv", "attn.proj", "fc1", "fc2")
KEPT = Path(__file__).resolve().parent.parent / "docs" / "results" / "adapters.md"
Call = Callable[[Tensor], Tensor]


class Naive(nn.Module):
    """LNLoRA as one would write it down: a LayerNorm, A and B of its own for each of q, k and v."""

    def __init__(self, layer: LowRankLinear | LowRankConv) -> None:
        super().__init__()
        self.weight, self.bias, self.adapter = layer.weight, layer.bias, layer.adapter
        self.kernel = layer.kernel_size if isinstance(layer, LowRankConv) else None

    def forward(self, inputs: Tensor) -> Tensor:
        """Return W x + b and, in the place of each branch, s B A LN(x)."""
        if self.kernel is None:
            return F.linear(inputs, self.weight, self.bias) + self.increments(inputs)
        output = F.conv2d(inputs, self.weight, self.bias, stride=self.kernel)
        tokens = F.unfold(inputs, self.kernel, stride=self.kernel).transpose(1, 2)
        return output + self.increments(tokens).transpose(1, 2).reshape(output.shape)

    def increments(self, tokens: Tensor) -> Tensor:
        """Return the branches' outputs side by side."""
        adapter, pieces = self.adapter, []
        for branch in adapter.branches:
            name = branch.name
            normed = F.layer_norm(
                tokens, tokens.shape[-1:], adapter.norm_weight[name], adapter.norm_bias[name], adapter.norm_eps
            )
            pieces.append(branch.scaling * F.linear(F.linear(normed, adapter.A[name]), adapter.B[name]))
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=-1)


@dataclass
class Variant:
    """One thing to measure, and what was measured."""

    name: str
    call: Call
    attach: float | None = None
    forward: list[float] = field(default_factory=list)
    gradient: list[float] = field(default_factory=list)
    saved: int = 0


def shaken(model: nn.Module) -> nn.Module:
    """Return the model, its trained parameters no longer at their start: a B of 0 might be skipped somewhere."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return model


def attached(bare: ImageClassifier, method: PETMethod) -> tuple[ImageClassifier, float]:
    """Return a copy of the model with the technique attached, and how long that took, median of 5."""
    seconds = []
    for _ in range(5):
        model = copy.deepcopy(bare)
        start = time.perf_counter()
        method.attach(model)
        seconds.append(time.perf_counter() - start)
    shaken(model)
    return model.eval(), statistics.median(seconds)


def ours(bare: ImageClassifier, label: str, method: PETMethod, *, naive: bool = False) -> list[Variant]:
    """Return the technique as it trains, in its view, and naively."""
    model, seconds = attached(bare, method)
    start = time.perf_counter()
    view = model.attack_view()
    found = [Variant(label, model, seconds), Variant(f"{label}, attack_view", view, time.perf_counter() - start)]
    if naive:
        written = copy.deepcopy(model)
        for path, layer in written.attachments[0].layers().items():
            parent, _, leaf = path.rpartition(".")
            setattr(written.network.get_submodule(parent), leaf, Naive(layer))
        found.append(Variant(f"{label}, naive module", written.eval()))
    return found


def pefts(bare: ImageClassifier) -> list[Variant]:
    """Return PEFT's LoRA as it trains, and merged."""
    config = peft.LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(LAYERS))
    seconds = []
    for _ in range(5):
        model = copy.deepcopy(bare)
        start = time.perf_counter()
        model.network = peft.get_peft_model(model.network, config)
        seconds.append(time.perf_counter() - start)
    shaken(model)
    merged = copy.deepcopy(model)
    merged.network = merged.network.merge_and_unload()
    return [
        Variant("PEFT's LoRA", model.eval(), statistics.median(seconds)),
        Variant("PEFT's LoRA, merged", merged.eval()),
    ]


def check(variants: list[Variant], images: Tensor) -> None:
    """Raise unless the forms of one technique answer alike."""
    with torch.no_grad():
        for variant in variants[1:]:
            first = next(v for v in variants if v.name == variant.name.partition(",")[0])
            torch.testing.assert_close(variant.call(images), first.call(images), rtol=1e-3, atol=1e-3)


def saved_bytes(call: Call, images: Tensor, labels: Tensor) -> int:
    """Return the bytes of the distinct tensors that autograd keeps, parameters and buffers left out."""
    assert isinstance(call, nn.Module)
    own = {t.untyped_storage().data_ptr() for t in (*call.parameters(), *call.buffers(), images)}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = F.cross_entropy(call(images.clone().requires_grad_()), labels)
    assert loss.requires_grad  # alive until here, so no storage was used twice
    return sum(kept.values())


def measure(variants: list[Variant], images: Tensor, labels: Tensor, repetitions: int) -> None:
    """Time each variant in each repetition, in an order that changes."""
    order = random.Random(0)
    for repetition in range(repetitions + 1):
        for variant in order.sample(variants, len(variants)):
            with torch.no_grad():
                start = time.perf_counter()
                variant.call(images)
                forward = time.perf_counter() - start
            inputs = images.clone().requires_grad_()
            start = time.perf_counter()
            torch.autograd.grad(F.cross_entropy(variant.call(inputs), labels), inputs)
            gradient = time.perf_counter() - start
            if repetition:  # the first one warms up
                variant.forward.append(forward)
                variant.gradient.append(gradient)
    for variant in variants:
        variant.saved = saved_bytes(variant.call, images, labels)


def seconds_to_import(statement: str) -> float:
    """Return how long a statement takes in a fresh interpreter that has torch and timm already, median of 3."""
    code = f"import time, torch, timm; s = time.perf_counter(); {statement}; print(time.perf_counter() - s)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True) for _ in range(3)]
    return statistics.median(float(run.stdout.split()[-1]) for run in runs)


def ratios(one: list[float], other: list[float]) -> list[float]:
    """Return the quotient of each repetition."""
    return [a / b for a, b in zip(one, other, strict=True)]


def spread(values: list[float]) -> str:
    """Return the median and the quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def table(variants: list[Variant]) -> str:
    """Return what was measured, as Markdown."""
    head = ("", "attach, ms", "forward, ms", "of bare", "forward + input gradient, ms", "of bare", "saved, MiB")
    rows = [head, ("---",) * len(head)]
    for v in variants:
        attach = "" if v.attach is None else f"{1e3 * v.attach:.1f}"
        forward, gradient = (f"{1e3 * statistics.median(each):.1f}" for each in (v.forward, v.gradient))
        of_bare = spread(ratios(v.forward, variants[0].forward)), spread(ratios(v.gradient, variants[0].gradient))
        rows.append((v.name, attach, forward, of_bare[0], gradient, of_bare[1], f"{v.saved / 2**20:.1f}"))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def goals(variants: list[Variant]) -> str:
    """Return, for each goal, what was reached in the forward pass and with the input gradient."""
    named = {v.name: v for v in variants}
    lines = []
    for time_of in ("forward", "gradient"):
        bare, theirs, *times = (
            getattr(named[name], time_of)
            for name in ("bare", "PEFT's LoRA", "LoRA", "PeftLoRA", "LoRA, attack_view", "PeftLoRA, attack_view")
        )
        word = {"forward": "forward", "gradient": "forward + input gradient"}[time_of]
        lines += [
            f"- {word}: LoRA over PEFT's LoRA, at most 1: {spread(ratios(times[0], theirs))}",
            f"- {word}: PeftLoRA over PEFT's LoRA, at most 1: {spread(ratios(times[1], theirs))}",
            f"- {word}: view of LoRA over bare, at most 1.02: {spread(ratios(times[2], bare))}",
            f"- {word}: view of PeftLoRA over bare, at most 1.02: {spread(ratios(times[3], bare))}",
        ]
        for label in ("LNLoRA", "FullLoRA"):
            naive, view = (getattr(named[f"{label}, {form}"], time_of) for form in ("naive module", "attack_view"))
            lost = [(v - b) / (n - b) for v, n, b in zip(view, naive, bare, strict=True)]
            lines.append(f"- {word}: what the view of {label} loses over what naive loses, at most 0.5: {spread(lost)}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print; keep the table where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="of a ViT-Ti/16 at 224 px")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=30)
    parser.add_argument("--keep", action="store_true", help="write the table into docs/results")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    weights = arguments.weights if arguments.weights and arguments.weights.is_file() else None
    bare = rp.load_backbone("vit_tiny_patch16_224", weights=weights).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(arguments.batch, 3, 224, 224, generator=generator)
    labels = torch.randint(bare.num_classes or 1, (arguments.batch,), generator=generator)
    variants = [
        Variant("bare", bare),
        *ours(bare, "LoRA", rp.LoRA(r=RANK, components=COMPONENTS)),
        *ours(bare, "PeftLoRA", rp.PeftLoRA(r=RANK, alpha=RANK, target_modules=LAYERS)),
        *pefts(bare),
        *ours(bare, "LNLoRA", rp.LNLoRA(r=RANK, components=COMPONENTS), naive=True),
        *ours(bare, "FullLoRA", rp.FullLoRA(r=RANK), naive=True),
    ]
    check(variants, images)
    measure(variants, images, labels, arguments.repetitions)
    header = (
        f"`python benchmarks/adapters.py`: ViT-Ti/16 at 224 px with {'the given' if weights else 'random'} weights, "
        f"batch {arguments.batch}, threads {arguments.threads}, {arguments.repetitions} repetitions, "
        f"{platform.machine()}, torch {torch.__version__}, timm {timm.__version__}, peft {peft.__version__}. Import "
        f"after torch and timm: robustpeft with its techniques "
        f"{seconds_to_import('import robustpeft; robustpeft.LoRA'):.2f} s, peft "
        f"{seconds_to_import('import peft; peft.LoraConfig'):.2f} s. Median (quartiles) over repetitions."
    )
    text = f"""# What an adapter costs

{textwrap.fill(header, 120)}

{table(variants)}

{goals(variants)}
"""
    print(text)
    if arguments.keep:
        KEPT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
