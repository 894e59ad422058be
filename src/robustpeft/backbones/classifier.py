"""How does any network become a classifier of images in [0, 1] that can be attacked, adapted and audited?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from robustpeft.backbones.normalize import Normalize
from robustpeft.backbones.seams import FAMILIES, find_seams
from robustpeft.errors import UserError
from robustpeft.records import Introduction
from robustpeft.types import Classifier, Seams, Threat, frozen_twin

__all__ = ["Attachment", "ImageClassifier", "image_size_of", "wrap"]


class Attachment(Protocol):
    """Something added to the network that can be switched off for a while."""

    def added_names(self) -> frozenset[str]:
        """Return the names of the network's tensors that were not there before."""
        ...

    def disabled(self) -> AbstractContextManager[None]:
        """Within the context the network answers as if this had not been added."""
        ...


class ImageClassifier(nn.Module):
    """A network behind its normalisation: images (b, 3, h, w) in [0, 1] to logits (b, k).

    Args:
        network: The network itself; paths in `seams` are relative to it.
        normalize: Mean and standard deviation it was trained with.
        num_classes: Width of its logits; None if unknown.
        image_size: Height and width it expects; None if it takes any.
        name: What to call it in records.
        seams: Where it can be adapted; None if it belongs to no known family.

    Attributes:
        attachments: What has been added to it, in order.
        classes: Class names, label i is entry i; empty if unknown.
        threat: The threat it was tuned for; None if not adversarially.
        transform: Maps a PIL image to a float (3, h, w) in [0, 1] as in tuning; None if unknown.
        origin: The value that builds it again; None for a module of one's own.
        tuning: Facts of its tuning for records and model cards: objective, seconds, seed, ...
        trained_ids: Ids of the images it was tuned on, so that an audit can tell when it meets them again.
        columns: Int64 (k,), which outputs of the network are its logits, in this order; None for all as they come.
        introduction: How a record says it was met, if it is somebody else's model; None otherwise.
        claimed_clean: Clean accuracy that its author claims, in [0, 1]; None if nothing was claimed.
    """

    def __init__(
        self,
        network: nn.Module,
        normalize: Normalize,
        *,
        num_classes: int | None = None,
        image_size: tuple[int, int] | None = None,
        name: str = "custom",
        seams: Seams | None = None,
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.network = network
        self.num_classes = num_classes
        self.image_size = image_size
        self.name = name
        self.seams = seams
        self.attachments: list[Attachment] = []
        self.classes: tuple[str, ...] = ()
        self.threat: Threat | None = None
        self.transform: Callable[[Any], Tensor] | None = None
        self.origin: Any = None
        self.tuning: dict[str, Any] = {}
        self.trained_ids: frozenset[int] = frozenset()
        self.introduction: Introduction | None = None
        self.claimed_clean: float | None = None
        self.columns: Tensor | None
        self.register_buffer("columns", None, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (b, k) of images (b, 3, h, w) in [0, 1]."""
        output = self.network(self.normalize(images))
        logits: Tensor = getattr(output, "logits", output)  # networks of transformers return these among others
        return logits if self.columns is None else logits.index_select(1, self.columns)

    def select(self, columns: Sequence[int]) -> None:
        """Let these outputs of the network be the logits from now on, in this order.

        Args:
            columns: Which, each in [0, width of the network's output); a class may be left out.
        """
        device = self.normalize.mean.device
        self.columns = torch.tensor(list(columns), dtype=torch.int64, device=device)
        self.num_classes = len(columns)

    def features(self, images: Tensor) -> Tensor:
        """Return the embedding (b, d) that the head reads.

        Raises:
            UserError: If the network does not say where its embedding is.
        """
        forward_features = getattr(self.network, "forward_features", None)
        forward_head = getattr(self.network, "forward_head", None)
        if forward_features is not None and forward_head is not None:
            features: Tensor = forward_head(forward_features(self.normalize(images)), pre_logits=True)
            return features
        if self.seams is None or not self.seams.heads:
            raise UserError(
                f"{type(self.network).__name__} has no forward_features and forward_head to take features from"
            )
        return self._input_of(self.seams.heads[0], images)

    def _input_of(self, path: str, images: Tensor) -> Tensor:
        """Return what the module at `path` is called with."""
        met: list[Tensor] = []
        hook = self.network.get_submodule(path).register_forward_pre_hook(lambda _, inputs: met.append(inputs[0]))
        try:
            self(images)
        finally:
            hook.remove()
        return met[0]

    def attack_view(self) -> Classifier:
        """Return a frozen twin in eval mode that shares the tensors of this model; added branches are folded."""
        return frozen_twin(self)

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Within the context the model answers as if nothing had been attached to it."""
        with ExitStack() as stack:
            for attachment in self.attachments:
                stack.enter_context(attachment.disabled())
            yield

    def require_seams(self) -> Seams:
        """Return the seams.

        Raises:
            UserError: If the network belongs to no family whose seams are known.
        """
        if self.seams is None:
            raise UserError(
                f"{type(self.network).__name__} belongs to no family whose seams are known, so nothing can be added "
                "inside it; tune it with 'full', or load one of these families with rp.load_backbone or rp.wrap: "
                f"{'; '.join(family.covers for family in FAMILIES.values())}"
            )
        return self.seams

    def frozen_state(self) -> dict[str, Tensor]:
        """Return the network's tensors without what was added to it, by the names they had before."""
        added = frozenset[str]().union(*(attachment.added_names() for attachment in self.attachments))
        return {name: tensor for name, tensor in self.network.state_dict().items() if name not in added}

    def digest(self) -> str:
        """Return the SHA-256 of the network as it is without attachments; the heads are left out, tuning replaces them.

        Cost:
            One read of all weights, about 1 s per GB.
        """
        heads = tuple(f"{head}." for head in self.seams.heads) if self.seams else ()
        sha = hashlib.sha256()
        with self.disabled():
            for name, tensor in sorted(self.frozen_state().items()):
                if not name.startswith(heads):
                    sha.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
                    sha.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return sha.hexdigest()


def wrap(
    module: nn.Module,
    *,
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
    num_classes: int | None = None,
    name: str | None = None,
) -> ImageClassifier:
    """Return your classifier as one that takes images in [0, 1].

    Args:
        module: Maps normalised images (b, 3, h, w) to logits (b, k); not copied, not changed.
            A network of one of the `FAMILIES`, which may return its logits as the ``logits`` of an object, can then
            be adapted too.
        mean: What it expects to have been subtracted, in pixel units on [0, 1]; zeros if it normalises by itself.
        std: What it expects to have been divided by; ones if it normalises by itself.
        num_classes: k, if known; by default the width of the head, where it is known which that is.
        name: What to call it in records; the class name by default.
    """
    if not isinstance(module, nn.Module):
        raise UserError(f"wrap takes a torch module; got {type(module).__name__}")
    if isinstance(module, ImageClassifier):
        raise UserError("this model already takes images in [0, 1]; it need not be wrapped")
    seams = find_seams(module)
    if num_classes is None and seams is not None and seams.heads:
        num_classes = len(module.get_submodule(seams.heads[0]).get_parameter("weight"))
    return ImageClassifier(
        module,
        Normalize(mean, std),
        num_classes=num_classes,
        image_size=image_size_of(module) if seams is not None else None,
        name=name or type(module).__name__,
        seams=seams,
    )


def image_size_of(network: nn.Module) -> tuple[int, int] | None:
    """Return the height and width that a network of timm or transformers was built for; None if it does not say."""
    size = getattr(getattr(network, "patch_embed", None), "img_size", None)
    if size is None:
        size = getattr(getattr(network, "config", None), "image_size", None)
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)
