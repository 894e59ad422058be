"""How does a layer of the library `peft` come to stand in a network here, and leave it again?

PEFT changes a whole network, renames the frozen weights below each layer that it adapts, and may write into them. So it
gets a copy of the network; its layers are taken out of that, their copies of the frozen layers exchanged for the very
ones, and each is put behind a module that holds the frozen weight and bias under the names they always had. PEFT's own
reference to the frozen layer stays below that, as ``adapter.base_layer``: a second name for the same tensors.
"""

from __future__ import annotations

import copy
import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from robustpeft.errors import UserError, nearest_hint
from robustpeft.types import derive_seed, frozen_twin

__all__ = ["TYPES", "PeftLayer", "check_options", "configured", "inject"]

TYPES: Mapping[str, bool] = {
    "adalora": True,
    "c3a": False,
    "delora": True,
    "dora": True,
    "fourierft": False,
    "gralora": True,
    "hira": True,
    "hra": False,
    "ia3": True,
    "loha": True,
    "lokr": True,
    "lora": True,
    "miss": True,
    "oft": True,
    "randlora": True,
    "road": True,
    "tinylora": True,
    "vblora": False,
    "vera": True,
    "waveft": True,
}
"""Techniques of PEFT's that are tested here: does the network answer as before, to the last bit, until a first step?"""

_OWN_TRAINING = {
    "osf": "it projects the gradients while it trains",
    "poly": "it is told the task of each image",
    "xlora": "it mixes adapters that were trained before",
}
_VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "adalora": ("ADALORA", {"total_step": sys.maxsize}),  # set when tuning knows it
    "dora": ("LORA", {"use_dora": True}),
}
_NOT_OURS = {
    "bias": "add BitFit() or NormsAndBiases() to it",
    "modules_to_save": "the head is trained anyway; add LastBlocks() or NormsAndBiases() for more",
    "inference_mode": "whether it trains is up to the handle",
    "task_type": "it has no meaning for images",
    "peft_type": "it is the name behind 'peft:'",
}
_NOT_OURS_OF: Mapping[str, Mapping[str, str]] = {
    "adalora": {
        "r": "say init_r, from which it starts, and target_r, the mean at the end",
        "rank_pattern": "it finds that out",
        "total_step": "it is the number of steps of tuning",
    },
}
_ADAPTER = "default"


class PeftLayer(nn.Module):
    """A frozen layer that PEFT adapts; its weight and bias keep their names."""

    def __init__(self, adapter: nn.Module, base: nn.Module) -> None:
        super().__init__()
        for name, parameter in base._parameters.items():
            self.register_parameter(name, parameter)
        for name in ("in_features", "out_features", "normalized_shape"):
            if hasattr(base, name):
                setattr(self, name, getattr(base, name))
        adapter.base_layer = base
        self.adapter = adapter
        self.enabled = True

    def forward(self, tokens: Tensor) -> Tensor:
        """Return what PEFT's layer makes of the tokens."""
        output: Tensor = self.adapter(tokens) if self.enabled else self._base()(tokens)
        return output

    @torch.no_grad()
    def folded(self) -> nn.Module:
        """Return the same map for parameters that stand still: a copy of the frozen layer into which PEFT merged it."""
        if not self.enabled:
            return frozen_twin(self._base())
        layer: Any = copy.deepcopy(self.adapter)
        layer.merge()
        merged: nn.Module = layer.get_base_layer()
        return merged

    def _base(self) -> nn.Module:
        base = self.adapter.base_layer
        assert isinstance(base, nn.Module)
        return base


def check_options(kind: str, options: Mapping[str, Any]) -> None:
    """Raise unless PEFT has this technique, it needs no training of its own, and it knows these options.

    Raises:
        UserError: Also if PEFT is not installed.
    """
    configs = _configs()
    from peft import PromptLearningConfig

    if kind not in TYPES:
        name = kind.upper()
        if kind in _OWN_TRAINING:
            why = f"{_OWN_TRAINING[kind]}, which is not done here"
        elif name in configs and issubclass(configs[name], PromptLearningConfig):
            why = "it learns prompts for a language model; for a ViT use vpt"
        elif name in configs:
            why = f"it is not tested here; there are {', '.join(TYPES)}"
        else:
            why = f"PEFT has none of that name; {nearest_hint(kind, TYPES)}"
        raise UserError(f"peft:{kind} is not offered: {why}")
    known = {field.name for field in dataclasses.fields(configs[_config_name(kind)])}
    not_ours = {**_NOT_OURS, **_NOT_OURS_OF.get(kind, {})}
    for key in options:
        if key in not_ours:
            raise UserError(f"peft:{kind} takes no {key!r} here: {not_ours[key]}")
        if key not in known:
            raise UserError(f"peft:{kind} has no key {key!r}; {nearest_hint(key, known - not_ours.keys())}")


def inject(network: nn.Module, kind: str, options: Mapping[str, Any], seed: int) -> dict[str, nn.Module]:
    """Return PEFT's layers by the path of the layer they stand for; the network is not changed.

    What does not train (random projections, chosen entries of a weight) is drawn from PEFT's own seeds, or from 0:
    an adapter that is loaded must find it again. The initial parameters are drawn from `seed`.

    Args:
        network: Nothing may be attached to it.
        kind: One of `TYPES`.
        options: Of PEFT's configuration, ``target_modules`` among them.
        seed: Of the initial values.

    Raises:
        UserError: If PEFT refuses, or would change what is frozen.

    Cost:
        One copy of the network while it runs, two for a seed other than 0.
    """
    layers = _injected(network, kind, options, 0)
    if seed != 0:
        for path, drawn in _injected(network, kind, options, seed).items():
            mine = dict(layers[path].named_parameters())
            for name, parameter in drawn.named_parameters():
                mine[name].data = parameter.data
    modules: dict[str, nn.Module] = {}
    for path, layer in layers.items():
        base, given = network.get_submodule(path), layer.base_layer
        assert isinstance(given, nn.Module)
        if not all(p.is_meta or torch.equal(p, given.get_parameter(name)) for name, p in base.named_parameters()):
            raise UserError(f"peft:{kind} changes the frozen weight of {path} at its start; leave out its init option")
        modules[path] = PeftLayer(layer, base)
    return modules


def _injected(network: nn.Module, kind: str, options: Mapping[str, Any], seed: int) -> dict[str, nn.Module]:
    from peft import PeftType
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
    from peft.tuners.tuners_utils import BaseTunerLayer

    name = _config_name(kind)
    changed = copy.deepcopy(network).requires_grad_(False)
    devices = sorted({p.device.index for p in network.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive_seed(seed, "peft"))
        try:
            PEFT_TYPE_TO_TUNER_MAPPING[PeftType(name)](changed, configured(kind, options), _ADAPTER)
        except (AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            raise UserError(f"peft:{kind} on this network: {error}") from error
    layers = {path: module for path, module in changed.named_modules() if issubclass(type(module), BaseTunerLayer)}
    for layer in layers.values():
        _fix_constants(layer)
    inside = tuple(f"{path}." for path in layers)
    for path, parameter in changed.named_parameters():
        frozen = not path.startswith(inside) or ".base_layer." in path
        if parameter.requires_grad is frozen:
            raise UserError(f"peft:{kind} {'would train' if frozen else 'would not train'} {path} with these options")
        if not frozen:
            parameter.data = parameter.data.float()  # an optimiser's steps are lost in half precision
    return layers


def configured(kind: str, options: Mapping[str, Any]) -> Any:
    """Return PEFT's configuration of a technique.

    Raises:
        AttributeError, TypeError, ValueError: As PEFT says.
        UserError: If PEFT is not installed.
    """
    extra = _VARIANTS[kind][1] if kind in _VARIANTS else {}
    return _configs()[_config_name(kind)](**options, **extra)


def _fix_constants(layer: Any) -> None:
    """Make a constant that PEFT keeps as a parameter, AdaLoRA's rank at the start, what it is: no weight."""
    if hasattr(layer, "ranknum"):
        from peft.tuners._buffer_dict import BufferDict

        layer.ranknum = BufferDict({name: p.detach() for name, p in layer.ranknum.items()})


def _config_name(kind: str) -> str:
    return _VARIANTS[kind][0] if kind in _VARIANTS else kind.upper()


def _configs() -> dict[str, Any]:
    """Return PEFT's configuration classes by the name of the technique.

    Raises:
        UserError: If PEFT is not installed.
    """
    try:
        from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
    except ImportError as error:
        raise UserError(
            f"peft:... needs the library peft ({error}); install it with pip install 'robustpeft[peft]'"
        ) from error
    return {str(kind.value): config for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
