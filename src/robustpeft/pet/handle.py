"""What does one hold after attaching? A handle that counts, switches off and takes off what was attached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from robustpeft.backbones import ImageClassifier
from robustpeft.errors import UserError
from robustpeft.pet.inserts import Insert
from robustpeft.pet.low_rank import Switchable
from robustpeft.types import Companion

if TYPE_CHECKING:
    from robustpeft.pet.base import PETMethod

__all__ = ["AdapterHandle"]


class AdapterHandle:
    """What was attached to one model: the trained parameters, known by construction, and the way back.

    Args:
        method: The technique.
        model: Changed in place: new modules stand for their leaves, everything but the trained parameters is frozen.
        modules: New modules by the path of the leaf they stand for.
        inserts: New modules that run between layers.
        thawed: Names of existing parameters that are trained too, besides the head.

    A head that a new module stands for is frozen like any other layer. As no digest of the backbone speaks of it, its
    values are kept with what is trained.
    """

    def __init__(
        self,
        method: PETMethod,
        model: ImageClassifier,
        modules: dict[str, nn.Module],
        inserts: list[Insert],
        thawed: set[str],
    ) -> None:
        self.method = method
        self.model = model
        network = model.network
        self._before = dict(network.named_parameters())
        self._names_before = frozenset(network.state_dict())
        self._required_grad = {name: p.requires_grad for name, p in self._before.items()}
        self._heads = tuple(f"{h}." for h in model.seams.heads) if model.seams else ()
        adapted = tuple(head for head in self._heads if head.removesuffix(".") in modules)
        self._kept = frozenset(n for n in self._before if adapted and n.startswith(adapted)) - thawed
        thawed = thawed | {n for n in self._before if n.startswith(self._heads)} - self._kept
        if unknown := thawed - self._before.keys():
            raise UserError(f"{method!r} trains {sorted(unknown)[0]!r}, which the network does not have")
        self._originals = {name: self._before[name].detach() for name in sorted(thawed | self._kept)}
        for name, original in self._originals.items():
            self._before[name].data = original.clone()  # the old storage may be shared with other models
        self._replaced = {path: network.get_submodule(path) for path in modules}
        for path, layer in self._replaced.items():
            if layer._forward_hooks or layer._forward_pre_hooks:
                raise UserError(f"{path} carries hooks, which {method!r} would lose; remove them first")
        for path, module in modules.items():
            _put(network, path, module)
        self._inserts = inserts
        self._hooks = [hook for insert in inserts for hook in insert.install(network)]
        self._added = [*modules.values(), *(insert.module for insert in inserts)]
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name in thawed or name not in self._before)
        model.attachments.append(self)

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """Return the trained parameters by name: what was not there before, the head, and what the technique thawed."""
        self._check_attached()
        return {
            name: parameter
            for name, parameter in self.model.network.named_parameters()
            if (name in self._originals and name not in self._kept) or name not in self._before
        }

    def parameters(self) -> list[nn.Parameter]:
        """Return the trained parameters."""
        return list(self.named_parameters().values())

    @property
    def num_parameters(self) -> int:
        """Number of trained parameters, head included."""
        return sum(p.numel() for p in self.parameters())

    @property
    def num_head_parameters(self) -> int:
        """Number of those in the head."""
        return sum(p.numel() for name, p in self.named_parameters().items() if self.is_head(name))

    def is_head(self, name: str) -> bool:
        """Return whether the parameter of this name is a classification head's own."""
        return name in self._before and name.startswith(self._heads)

    @cached_property
    def companion(self) -> Companion | None:
        """What the technique does beside the optimiser; None if nothing."""
        self._check_attached()
        return self.method.companion(self.model)

    def layers(self) -> dict[str, nn.Module]:
        """Return the new modules that stand for layers of the network, by path."""
        self._check_attached()
        return {path: self.model.network.get_submodule(path) for path in self._replaced}

    def added_names(self) -> frozenset[str]:
        """Return the names of the network's tensors that were not there before."""
        return frozenset(self.model.network.state_dict().keys() - self._names_before)

    def state(self) -> dict[str, Tensor]:
        """Return what is trained, and frozen heads, by name, detached; they share memory with the model."""
        return {name: parameter.detach() for name, parameter in self._saved().items()}

    def _saved(self) -> dict[str, nn.Parameter]:
        return self.named_parameters() | {name: self._before[name] for name in sorted(self._kept)}

    @torch.no_grad()
    def load_state(self, tensors: dict[str, Tensor], origin: str = "the state") -> None:
        """Copy trained tensors into the model.

        Raises:
            UserError: If a name is missing or unexpected or a shape differs; nothing is copied then.
        """
        mine = self._saved()
        missing, unexpected = sorted(mine.keys() - tensors.keys()), sorted(tensors.keys() - mine.keys())
        shapes = [
            f"{name} is {tuple(tensors[name].shape)}, not {tuple(p.shape)}"
            for name, p in mine.items()
            if name in tensors and tensors[name].shape != p.shape
        ]
        if missing or unexpected or shapes:
            raise UserError(
                f"{origin} does not fit {self.method!r} on {self.model.name}: missing {missing[:3]}, "
                f"unexpected {unexpected[:3]}, of another shape {shapes[:3]}"
            )
        for name, parameter in mine.items():
            parameter.copy_(tensors[name])

    def train(self, mode: bool = True) -> None:
        """Put what is trained into training mode and everything frozen into eval mode.

        A frozen network stays as it was measured: its dropout is off and its batch statistics do not move. If all of
        it is trained, all of it goes into training mode but for those statistics: they are no parameters, so neither
        `save` would keep them nor `detach` bring them back.
        """
        everything = self._before.keys() <= self._originals.keys()
        self.model.train(mode and everything)
        for module in self.model.modules():
            if isinstance(module, _NormBase):
                module.eval()
        for module in self._added:
            module.train(mode)

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Within the context the model answers as before attaching: branches off, thawed parameters as they were."""
        self._check_attached()
        switches = [(module, module.enabled) for module in self._added if isinstance(module, Switchable)]
        trained = {name: self._before[name].data for name in self._originals}
        for switch, _ in switches:
            switch.enabled = False
        for name, original in self._originals.items():
            self._before[name].data = original.to(trained[name])  # the model may have moved since
        try:
            yield
        finally:
            for switch, enabled in switches:
                switch.enabled = enabled  # False within another such context
            for name, values in trained.items():
                self._before[name].data = values

    def save(self, directory: str | Path) -> None:
        """Write ``adapter_config.json``, ``adapter_model.safetensors`` and ``robustpeft.json``, and nothing else.

        They hold the technique, all trained tensors, and what they belong to: the backbone and its digest, image size,
        normalisation, classes. Plain LoRA is written in PEFT's own format.

        Cost:
            One read of the frozen weights for their digest, about 1 s per GB.
        """
        from robustpeft.pet import METHOD_AXIS, save_adapter

        save_adapter(self, Path(directory), METHOD_AXIS)

    def merge(self) -> None:
        """Fold what was added into the weights, for good: the network has its own classes, names and no attachment.

            W' = W + s B A

        The logits are those of the unmerged model, up to rounding. What was trained stays, the way back is gone.

        Raises:
            UserError: If the technique, or its present state, has no such weights; nothing is changed then.
        """
        from robustpeft.pet.merge import merged_weights

        self._check_attached()
        merged = merged_weights(self)
        for path, weights in merged.items():
            layer = self._replaced[path]
            for name, values in weights.items():
                setattr(layer, name, nn.Parameter(values))
            _put(self.model.network, path, layer)
        for name, parameter in self.model.network.named_parameters():
            parameter.requires_grad_(self._required_grad.get(name, True))
        self.model.attachments.remove(self)
        self.model.origin = None  # these are not the weights that it builds

    def detach(self) -> None:
        """Take everything off: the network is bit for bit what it was, also in which parameters require gradients."""
        self._check_attached()
        for hook in self._hooks:
            hook.remove()
        for insert in self._inserts:
            insert.remove(self.model.network)
        for path, module in self._replaced.items():
            _put(self.model.network, path, module)
        for name, original in self._originals.items():
            self._before[name].data = original.to(self._before[name].data)
            self._before[name].grad = None
        for name, parameter in self._before.items():
            parameter.requires_grad_(self._required_grad[name])
        self.model.attachments.remove(self)

    def _check_attached(self) -> None:
        if self not in self.model.attachments:
            raise UserError(f"{self.method!r} is not attached any more")


def _put(network: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, leaf = path.rpartition(".")
    owner = network.get_submodule(parent)
    setattr(owner, leaf, module.train(owner.training))  # not as the old one: an adapter may train in a frozen owner
