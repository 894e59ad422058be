"""What has to be known before a stranger's answers mean anything? Asked of its files, then of a few images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robustpeft.attacks.subject import device_of
from robustpeft.backbones import ImageClassifier
from robustpeft.data import ImageData, Split
from robustpeft.errors import UserError
from robustpeft.records import Finding, Introduction
from robustpeft.study.audited_images import load_test_images
from robustpeft.study.targets import Facts, Loaded, Target, check_used, find_target, kind_of, load_target
from robustpeft.study.targets.class_names import IMAGENET, columns_by_name, imagenet_names, read_class_names, some
from robustpeft.study.targets.normalizations import NORMALIZATIONS, Normalization, as_normalization
from robustpeft.study.targets.probes import Trial, beats, best_order, order_of, predictions, try_orders
from robustpeft.study.typed import typed_command, typed_words

__all__ = ["acquaint", "introduce"]

_log = logging.getLogger(__name__)
_IMAGES = 200


def introduce(
    words: str | Path, data: Any, facts: Facts | None = None, *, device: str = "cpu"
) -> tuple[ImageClassifier, ImageData]:
    """Return the model that these words name, ready to be judged, and the images at its size.

    Args:
        words: A run, an adapter, a name of timm's, a folder of transformers, ``module:factory`` or an ONNX file.
        data: As for `tune`; at most 200 images that are not test images, where there are others, are looked at.
        facts: What is known of it; the rest is stated by its files, or found by trying.
        device: Where to put it.

    Cost:
        For a stranger's model, 1 forward an image for every usual normalisation, none where it is given.

    Raises:
        UserError: If there is no such model, it cannot be read, or model and data do not fit each other.
    """
    known = facts or Facts()
    target = find_target(str(words), known)
    check_used([target], known)
    loaded = load_target(str(words), known, device)
    images = load_test_images(data, loaded.model, known.crop)
    return acquaint(loaded, target, images, known), images


def acquaint(loaded: Loaded, target: Target, images: ImageData, facts: Facts) -> ImageClassifier:
    """Return the loaded model with normalisation and classes settled, and how that came about in `introduction`.

    Raises:
        UserError: If its answers are no logits, cannot be those of these classes, or seem to come in another order.
    """
    model = loaded.model
    if loaded.settled:
        model.introduction = Introduction(target.words, kind_of(target))
        return model
    split = next(s for s in (images.validation, images.train, images.test) if len(s)).take(_IMAGES)
    meeting = _Meeting(loaded, facts, images.classes, split, _width(model, split))
    findings = (*_remarks(loaded), *meeting.settle())
    model.classes = images.classes
    for finding in findings:
        say = _log.warning if finding.doubtful else _log.info
        say("%s: %s %s (%s)", target.words, finding.key.replace("_", " "), finding.value, finding.evidence)
    command = _explicit(findings)
    if command:
        _log.info("the same without trying: %s", command)
    model.introduction = Introduction(target.words, kind_of(target), findings, command)
    return model


@dataclass(frozen=True)
class _Meeting:
    """A model, what is known of it, and some images."""

    loaded: Loaded
    facts: Facts
    classes: tuple[str, ...]
    split: Split
    width: int

    def settle(self) -> list[Finding]:
        """Settle columns, normalisation and order of the model in place, and return how."""
        model = self.loaded.model
        columns, classes, by_name = self._columns()
        if by_name and self.facts.class_order not in (None, "data"):
            raise UserError(
                f"the outputs have names ({classes.evidence.partition(':')[0]}), so --class-order "
                f"{self.facts.class_order} would contradict them; leave it out, or give other names with --classes"
            )
        if columns is not None:
            model.select(columns)
        candidates = self._candidates()
        answers = {name: predictions(model, self.split, each) for name, each in candidates.items()}
        orders = {name: self._orders(predicted, by_name) for name, predicted in answers.items()}
        normalization = self._normalization(candidates, {name: best for name, (best, _) in orders.items()})
        model.normalize = candidates[normalization.value].module().to(model.normalize.mean.device)
        order = self._order(*orders[normalization.value], by_name)
        if order.value != "data":
            model.select(order_of(order.value, self.classes, answers[normalization.value], self.split.labels))
        return [classes, normalization, order]

    def _columns(self) -> tuple[list[int] | None, Finding, bool]:
        """Return which outputs are the data's classes, None for all in their order; and whether names say so."""
        given = self.facts.classes
        names = read_class_names(given) if given is not None else self.loaded.outputs
        if names and given is not None and len(names) != self.width:
            raise UserError(f"--classes {given} has {len(names)} names, the model answers with {self.width} classes")
        if names and len(names) == self.width:
            columns, strangers = columns_by_name(names, self.classes)
            if not strangers:
                source = "given" if given is not None else "stated"
                by = "--classes" if given is not None else self.loaded.outputs_by
                return columns, self._named(source, columns, by, f"--classes {given}" if given else ""), True
            if given is not None or self.width != len(self.classes):
                raise UserError(
                    f"classes of the data that the names of the outputs do not have, or have twice: {some(strangers)}; "
                    f"the outputs are called {some(names)}"
                )
        if self.width == len(self.classes):
            said = "the outputs have no names that are the data's; output i is taken for class i of the order below"
            return None, Finding("classes", f"{self.width} of {self.width}", "assumed", said), False
        if self.width == len(imagenet_names()):
            columns, strangers = columns_by_name(imagenet_names(), self.classes)
            if not strangers:
                finding = self._named("probed", columns, "the names of ImageNet", f"--classes {IMAGENET}")
                return columns, finding, True
        raise UserError(
            f"the model answers with {self.width} classes, the data has {len(self.classes)} ({some(self.classes)}); "
            "if some of its outputs are these classes, say the names of all outputs with --classes: a file, a comma "
            f"list, or {IMAGENET}"
        )

    def _named(self, source: Any, columns: Sequence[int], by: str, option: str) -> Finding:
        pairs = [f"{name}: output {column}" for name, column in zip(self.classes, columns, strict=True)]
        rest = self.width - len(columns)
        left = f"; the other {rest} outputs cannot be predicted, which is easier than telling all apart" if rest else ""
        evidence = f"by {by}: {some(pairs)}{left}"
        return Finding("classes", f"{len(columns)} of {self.width}", source, evidence, option)

    def _candidates(self) -> dict[str, Normalization]:
        if self.facts.normalization is not None:
            given = as_normalization(self.facts.normalization)
            return {given.text: given}
        stated = self.loaded.normalization
        return ({} if stated is None else {stated.text: stated}) | dict(NORMALIZATIONS)

    def _orders(self, predicted: Tensor, by_name: bool) -> tuple[Trial, dict[str, Trial]]:
        """Return the order to count in, and all that were tried."""
        trials = dict(try_orders(self.classes, predicted, self.split.labels))
        if self.facts.class_order is not None:
            trials.setdefault(self.facts.class_order, trials["data"])  # one that does not differ from the data's
            return trials[self.facts.class_order], trials
        return (trials["data"] if by_name else best_order(trials)), trials

    def _normalization(self, candidates: dict[str, Normalization], trials: dict[str, Trial]) -> Finding:
        if self.facts.normalization is not None:
            (name,) = candidates
            option = f"--normalization {name}"
            return Finding("normalization", name, "given", "--normalization", option)
        stated = None if self.loaded.normalization is None else self.loaded.normalization.text
        best = max(trials, key=lambda name: trials[name].count)
        chosen = best if stated is None or beats(trials[best], trials[stated]) else stated
        near = [n for n in trials if n != chosen and not beats(trials[chosen], trials[n])]
        tried = {name: trial.count for name, trial in trials.items()}
        counts = ", ".join(f"{name} {tried[name]}" for name in sorted(tried, key=lambda name: -tried[name]))
        said = f"right of {len(self.split)} images with {counts}"
        said += f"; {self.loaded.normalization_by} says {stated}" if stated is not None else ""
        said += f"; the margin over {', '.join(near)} is small" if near else ""
        source = "stated" if chosen == stated else "probed"
        option = f"--normalization {chosen}"
        return Finding("normalization", chosen, source, said, option, tried, len(self.split), bool(near))  # type: ignore[arg-type]

    def _order(self, best: Trial, trials: dict[str, Trial], by_name: bool) -> Finding:
        given, own = self.facts.class_order, trials["data"]
        counts = ", ".join(f"{name} {trial.count}" for name, trial in trials.items())
        said = f"right of {len(self.split)} images in the order of {counts}"
        far = best_order(trials)
        tried = {name: trial.count for name, trial in trials.items()}
        if given is not None or by_name:
            value = given or "data"
            misfit = far.name != value and beats(far, trials[value], 3.0)
            source = "given" if given is not None else "stated"
            return Finding("class_order", value, source, said, f"--class-order {value}", tried, len(self.split), misfit)  # type: ignore[arg-type]
        if best.name != "data":
            raise UserError(
                f"the outputs seem to come in another order than the classes of the data: right of {len(self.split)} "
                f"images are {own.count} in the data's order, {best.count} in the {best.name} one. Nothing was "
                f"exchanged; say --class-order {best.name}, the names of the outputs with --classes, or --class-order "
                "data to audit it as it is"
            )
        return Finding("class_order", "data", "probed", said, "--class-order data", tried, len(self.split))


@torch.no_grad()
def _width(model: ImageClassifier, split: Split) -> int:
    """Return how many classes the model answers with, having looked at its first answer."""
    batch = next(iter(split.batches(min(2, len(split)), device=device_of(model))))
    height, width = batch.images.shape[-2:]
    try:
        logits: Any = model(batch.images)
    except UserError:
        raise
    except Exception as error:  # whatever somebody else's forward may raise
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"the model cannot answer images of {height} x {width} pixels ({type(error).__name__}: {said}); say what "
            "it takes with --image-size"
        ) from error
    if not isinstance(logits, Tensor):
        many = f" of {len(logits)}" if hasattr(logits, "__len__") else ""
        raise UserError(
            f"the model returns a {type(logits).__name__}{many}; expected a tensor of logits (batch, classes): put a "
            "module around it that returns these alone"
        )
    if logits.ndim != 2 or logits.shape[0] != len(batch):
        raise UserError(f"the model must return logits ({len(batch)}, classes); got {tuple(logits.shape)}")
    return int(logits.shape[1])


def _remarks(loaded: Loaded) -> list[Finding]:
    return [Finding("checkpoint", "read", "stated", remark) for remark in loaded.remarks]


def _explicit(findings: Sequence[Finding]) -> str:
    """Return what to type to have the same without probes; empty if nothing was typed."""
    if typed_words()[:1] != ("audit",):
        return ""  # other commands do not take these options
    more = [word for f in findings if f.option and f.source != "given" for word in f.option.split(" ", 1)]
    return typed_command(more)
