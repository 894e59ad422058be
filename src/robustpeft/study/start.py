"""From which weights? From a run's tuned network, frozen, where the pretrained one is not where tuning should start.

"A standardly trained model" (arXiv:2401.01752) may mean the pretrained network, or that network after ordinary tuning
on the task: tune it with ``method: full`` and ``objective: natural``, and start from that run.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from robustpeft.backbones import Backbone, ImageClassifier
from robustpeft.errors import UserError
from robustpeft.study.run_directory import START_FILE, load
from robustpeft.types import frozen_twin

__all__ = ["START_FILE", "keep_start", "start_from"]


@torch.no_grad()
def start_from(model: ImageClassifier, run: str | Path) -> None:
    """Give the model, in place, the weights of a run's tuned network, its adapter folded in.

    Args:
        model: The same network as the run's; a head for other classes stays as it is.
        run: Directory of the run.

    Raises:
        UserError: If it is another network, or an adapter that cannot be folded into its weights.
    """
    tuned = load(run)
    if tuned.name != model.name:
        raise UserError(f"{run} holds {tuned.name}, not {model.name}; start from a run of the same network")
    twin = frozen_twin(tuned)
    assert isinstance(twin, ImageClassifier)
    given, wanted = _tensors(twin.network), _tensors(model.network)
    if given.keys() != wanted.keys():
        raise UserError(
            f"the adapter in {run} cannot be folded into the weights of {model.name}, so they are no network to start "
            "from; start from a run of full, linear_probe, norms_and_biases or lora"
        )
    heads = tuple(f"{head}." for head in model.seams.heads) if model.seams else ()
    for name, tensor in wanted.items():
        if given[name].shape == tensor.shape:
            tensor.copy_(given[name])
        elif not name.startswith(heads):
            raise UserError(
                f"{name} is {tuple(given[name].shape)} in {run}, not {tuple(tensor.shape)}; load the backbone with the "
                "image size of that run"
            )
    model.trained_ids |= tuned.trained_ids


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name; also the buffers of folded layers, which no state dict holds."""
    return {name: tensor.detach() for name, tensor in (*network.named_parameters(), *network.named_buffers())}


def keep_start(model: ImageClassifier, directory: Path) -> None:
    """Write the frozen weights beside the adapter that belongs to them, and let the model say that it came from there.

    Raises:
        UserError: If the model was not built by a `Backbone`.
    """
    if not isinstance(model.origin, Backbone):
        raise UserError("only a model from rp.load_backbone can start from a run")
    file = (directory / START_FILE).resolve()
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.frozen_state().items()}
    save_file(tensors, file)
    model.origin = dataclasses.replace(model.origin, weights=str(file), num_classes=model.num_classes)
