"""What was the model before it was tuned? The same frozen network without what was trained.

If its head was new, no such model exists: without tuning it would answer at random. What stands in its place is what
one would deploy without a thought for adversaries: the frozen features under a logistic regression on the clean
training images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from robustpeft.backbones import Backbone, ImageClassifier
from robustpeft.data import ImageData, Split
from robustpeft.errors import UserError
from robustpeft.pet import AdapterHandle
from robustpeft.study.run_directory import load
from robustpeft.types import frozen_twin

__all__ = ["PROBED", "UNDEFENDED", "load_undefended", "undefend"]

UNDEFENDED = "undefended"
PROBED = "undefended (linear probe)"


def load_undefended(
    run: Path, images: ImageData, device: str = "cpu", weights: str | None = None, trust: bool = False
) -> tuple[str, ImageClassifier]:
    """Return a label and the run's network with its adapter taken off, in eval mode.

    Args:
        run: Directory of the run.
        images: As many of its training images as the run was tuned on fit a new head; the others are not looked at.
        device: Where to put the model.
        weights: As for `load`.
        trust: As for `load`.

    Cost:
        The weights are read twice if a head of a certain width was asked for; for a new head 1 forward a training image
        and a logistic regression.

    Raises:
        UserError: If the run cannot be loaded, or has a new head that cannot be fitted.
    """
    return undefend(load(run, device=device, weights=weights, trust=trust), lambda: images, device)


def undefend(
    model: ImageClassifier, images: Callable[[], ImageData], device: str = "cpu"
) -> tuple[str, ImageClassifier]:
    """Take the adapter off a run's model, in place, and return a label and the model; see `load_undefended`.

    The weights may be shared with other models (`share`): a head that has to be fitted becomes this model's own.

    Args:
        model: As it was loaded.
        images: Called for the images only if a head has to be fitted.
        device: Where the model lies.
    """
    for attachment in list(model.attachments):
        if isinstance(attachment, AdapterHandle):
            attachment.detach()
    tuning = model.tuning
    model.threat, model.tuning, model.trained_ids = None, {}, frozenset()
    if _head_is_pretrained(model):
        return UNDEFENDED, model
    whole = images().train
    train = whole.take(
        tuning.get("num_train", len(whole)), tuning.get("seed", 0)
    )  # what the tuned model saw, when the data are those it was tuned on
    _fit_head(model, train, device)
    model.tuning = {"training": f"head: logistic regression on {len(train)} clean training images"}
    return PROBED, model


def _head_is_pretrained(model: ImageClassifier) -> bool:
    origin = model.origin
    if not isinstance(origin, Backbone) or origin.weights is False:
        return False
    if origin.num_classes is None:
        return True
    return dataclasses.replace(origin, num_classes=None).load().num_classes == model.num_classes


@torch.no_grad()
def _fit_head(model: ImageClassifier, train: Split, device: str) -> None:
    """Put the maximum-likelihood head (L2 penalty 1) on the frozen features."""
    from sklearn.linear_model import LogisticRegression

    heads = model.require_seams().heads
    head = model.network.get_submodule(heads[0]) if len(heads) == 1 else None
    if not isinstance(head, nn.Linear) or not len(train):
        raise UserError(
            f"the head of {model.name} was new when it was tuned, and to fit another takes one linear head and "
            f"training images; here: {', '.join(heads)}, {len(train)} images. "
            "Audit a run tuned with objective=natural beside it"
        )
    twin = frozen_twin(model)
    assert isinstance(twin, ImageClassifier)
    features = torch.cat([twin.features(batch.images).float().cpu() for batch in train.batches(64, device=device)])
    fitted = LogisticRegression(max_iter=2000).fit(features.numpy(), train.labels.numpy())
    weight = torch.from_numpy(fitted.coef_).float()
    bias = torch.from_numpy(fitted.intercept_).float()
    if len(weight) == 1:  # two classes: scikit-learn keeps the difference of their logits
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    present = torch.from_numpy(fitted.classes_).long()
    head.weight = nn.Parameter(torch.zeros_like(head.weight))  # new ones: others may share the old
    head.bias = nn.Parameter(torch.full_like(head.bias, -1e4))  # a class without a training image is never the answer
    head.weight.data[present] = weight.to(head.weight)
    head.bias.data[present] = bias.to(head.bias)
