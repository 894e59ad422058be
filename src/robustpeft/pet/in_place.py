"""Which existing parameters does a technique train in place, and how many are they?"""

from __future__ import annotations

from collections.abc import Iterable

from robustpeft.backbones import ImageClassifier

__all__ = ["all_biases", "biases_of_maps", "count_named", "norm_parameters", "own_parameters"]


def own_parameters(model: ImageClassifier) -> list[str]:
    """Return the names of the network's parameters, in its order, without those of what is attached to it."""
    added = frozenset[str]().union(*(attachment.added_names() for attachment in model.attachments))
    return [name for name, _ in model.network.named_parameters() if name not in added]


def norm_parameters(model: ImageClassifier) -> set[str]:
    """Return the names of the weights and biases of the normalisation layers."""
    norms = set(model.require_seams().norms)
    return {name for name in own_parameters(model) if name.rpartition(".")[0] in norms}


def biases_of_maps(model: ImageClassifier) -> set[str]:
    """Return the names of the biases of the linear maps between the pixels and the head."""
    maps = {site.module for site in model.require_seams().sites}
    return {name for name in own_parameters(model) if name.endswith(".bias") and name.rpartition(".")[0] in maps}


def all_biases(model: ImageClassifier) -> set[str]:
    """Return the names of all biases outside the head, those of norms and of separate q and v included."""
    heads = _heads(model)
    leaves = {name: name.rpartition(".")[2] for name in own_parameters(model) if not name.startswith(heads)}
    return {name for name, leaf in leaves.items() if leaf == "bias" or leaf.endswith("_bias")}


def count_named(model: ImageClassifier, names: Iterable[str]) -> int:
    """Return the number of parameters of these names, without those of the heads."""
    heads = _heads(model)
    return sum(model.network.get_parameter(name).numel() for name in names if not name.startswith(heads))


def _heads(model: ImageClassifier) -> tuple[str, ...]:
    return tuple(f"{head}." for head in model.seams.heads) if model.seams else ()
