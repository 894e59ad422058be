"""How does a LoRA lie on disk so that PEFT reads it too, and how is one read that PEFT wrote?

PEFT knows one branch per layer, y = W x + s B A x. Where q, k and v have branches of their own, these stand one below
the other in A and side by side in B, zero outside the rows that they feed:

    A = [A_q; A_v],    B = [[B_q, 0], [0, 0], [0, B_v]],    r = r_q + r_v,    alpha = s r, or s sqrt(r) for rsLoRA

A branch whose scaling differs from the first one's by a power of two takes the difference into its B, which is exact;
any other difference has no exact form there, and the adapter is then written in our own format.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.pet.handle import AdapterHandle
from robustpeft.pet.lora import LoRA
from robustpeft.pet.low_rank import LowRank, LowRankConv, LowRankLinear
from robustpeft.pet.peft_config import declared_by
from robustpeft.pet.peft_lora import PeftLoRA

__all__ = ["is_blockwise", "peft_files", "peft_method", "peft_state"]

_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"
_Layers = dict[str, LowRankLinear | LowRankConv]


@torch.no_grad()
def peft_files(handle: AdapterHandle) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Return PEFT's ``adapter_config.json`` and tensors for a plain LoRA; None for what PEFT cannot compute exactly."""
    layers = _plain_layers(handle)
    heads = list(handle.model.seams.heads) if handle.model.seams else []
    if layers is None or set(heads) & layers.keys() or not all(_can_join(layer.adapter) for layer in layers.values()):
        return None
    tensors = {f"{_PREFIX}{name}": t for name, t in handle.state().items() if handle.is_head(name)}
    rslora = bool(getattr(handle.method, "rslora", False))
    ranks, alphas = {}, {}
    for path, layer in layers.items():
        down, up = _join(layer)
        tensors |= {f"{_PREFIX}{path}{_A}": down, f"{_PREFIX}{path}{_B}": up}
        ranks[path] = len(down)
        alphas[path] = _scaling(layer.adapter) * (math.sqrt(len(down)) if rslora else len(down))
    r, alpha = _commonest(ranks), _commonest(alphas)
    config = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": None,
        "inference_mode": True,
        "bias": "none",
        "fan_in_fan_out": False,
        "r": r,
        "lora_alpha": _number(alpha),
        "lora_dropout": float(getattr(handle.method, "dropout", 0.0)),
        "use_rslora": rslora,
        "use_dora": False,
        "target_modules": sorted(layers),
        "modules_to_save": heads or None,
        "rank_pattern": {_exactly(path): rank for path, rank in ranks.items() if rank != r},
        "alpha_pattern": {_exactly(path): _number(a) for path, a in alphas.items() if a != alpha},
    }
    return config, tensors


def is_blockwise(handle: AdapterHandle) -> bool:
    """Return whether PEFT's form of this LoRA joins branches that are separate here."""
    return any(len(layer.adapter.branches) > 1 for layer in (_plain_layers(handle) or {}).values())


def peft_method(model: ImageClassifier, config: Mapping[str, Any]) -> PeftLoRA:
    """Return the technique that a configuration of PEFT's describes, on this model.

    Raises:
        UserError: If it asks for something that is not computed here; the message says what.
    """
    return declared_by(config, [path for path, _ in model.network.named_modules()])


@torch.no_grad()
def peft_state(
    handle: AdapterHandle, config: Mapping[str, Any], tensors: Mapping[str, Tensor], origin: str
) -> dict[str, Tensor]:
    """Return PEFT's tensors under the names of an attached `LoRA` or `PeftLoRA`; names that fit nothing stay.

    Heads of which the file holds nothing, and that it does not declare, are those of the model.

    Raises:
        UserError: If a shape, a rank or a scaling differs from the attached one.
    """
    given = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
    declared = peft_method(handle.model, config)
    state: dict[str, Tensor] = {}
    for path, layer in (_plain_layers(handle) or {}).items():
        rank, scaling = sum(b.r for b in layer.adapter.branches), _scaling(layer.adapter)
        if declared.rank_of(path) != rank or not math.isclose(declared.scaling_of(path), scaling, rel_tol=1e-9):
            raise UserError(
                f"{origin} does not fit {handle.method!r}: at {path} it has rank {declared.rank_of(path)} and scaling "
                f"{declared.scaling_of(path):g}, not {rank} and {scaling:g}"
            )
        if f"{path}{_A}" in given and f"{path}{_B}" in given:
            state |= _divide(path, layer, given.pop(f"{path}{_A}"), given.pop(f"{path}{_B}"), origin)
    state |= given
    heads = {name: tensor for name, tensor in handle.state().items() if handle.is_head(name)}
    if not config.get("modules_to_save") and not heads.keys() & state.keys():
        state |= heads
    return state


def _plain_layers(handle: AdapterHandle) -> _Layers | None:
    """Return the layers of a plain LoRA by path; None if anything else is attached or trained."""
    layers = handle.layers()
    plain = all(isinstance(m, LowRankLinear | LowRankConv) and m.adapter.norm_eps is None for m in layers.values())
    if not isinstance(handle.method, LoRA | PeftLoRA) or not layers or not plain:
        return None
    own = tuple(f"{path}.adapter.{side}." for path in layers for side in "AB")
    if not all(name.startswith(own) or handle.is_head(name) for name in handle.named_parameters()):
        return None
    return cast(_Layers, layers)


def _scaling(adapter: LowRank) -> float:
    return adapter.branches[0].scaling


def _can_join(adapter: LowRank) -> bool:
    """Return whether all scalings are the first one's times a power of two."""
    return all(math.frexp(branch.scaling / _scaling(adapter))[0] == 0.5 for branch in adapter.branches)


def _join(layer: LowRankLinear | LowRankConv) -> tuple[Tensor, Tensor]:
    """Return A (r, in, ...) and B (out, r, ...) of the layer as PEFT has them, shaped as for its kind of layer."""
    adapter, kernel = layer.adapter, layer.weight.shape[1:]
    down = torch.cat([adapter.A[branch.name] for branch in adapter.branches])
    up = down.new_zeros(adapter.out_features, len(down))
    for branch, (rows, columns) in zip(adapter.branches, _blocks(adapter), strict=True):
        up[rows, columns] = adapter.B[branch.name] * (branch.scaling / _scaling(adapter))
    return down.reshape(-1, *kernel), up.reshape(*up.shape, *(1 for _ in kernel[1:]))


def _divide(path: str, layer: LowRankLinear | LowRankConv, down: Tensor, up: Tensor, origin: str) -> dict[str, Tensor]:
    """Return what `_join` joined, by name."""
    adapter = layer.adapter
    for side, mine, theirs in zip("AB", _join(layer), (down, up), strict=True):
        if mine.shape != theirs.shape:
            raise UserError(
                f"{origin} does not fit the network: of another shape: lora_{side} of {path} is "
                f"{tuple(theirs.shape)}, not {tuple(mine.shape)}"
            )
    down, rest, parts = down.flatten(1), up.flatten(1).clone(), {}
    for branch, (rows, columns) in zip(adapter.branches, _blocks(adapter), strict=True):
        parts[f"{path}.adapter.A.{branch.name}"] = down[columns]
        parts[f"{path}.adapter.B.{branch.name}"] = rest[rows, columns] / (branch.scaling / _scaling(adapter))
        rest[rows, columns] = 0.0
    if rest.any():
        raise UserError(
            f"{origin} was tuned on by another tool: at {path} its branches are not separate any more; without "
            "robustpeft.json beside it, it loads as an adapter of PEFT's"
        )
    return parts


def _blocks(adapter: LowRank) -> list[tuple[slice, slice]]:
    """Return the rows and columns of each branch in the joint B."""
    found, column = [], 0
    for branch in adapter.branches:
        first, count = branch.rows(adapter.out_features)
        found.append((slice(first, first + count), slice(column, column + branch.r)))
        column += branch.r
    return found


def _commonest(values: Mapping[str, Any]) -> Any:
    return Counter(values.values()).most_common(1)[0][0]


def _exactly(path: str) -> str:
    """Return the pattern that matches this path alone: ``blocks.1`` must not hit ``blocks.11`` or ``x.blocks.1``."""
    return f"^{re.escape(path)}"


def _number(value: float) -> float:
    return int(value) if float(value).is_integer() else value
