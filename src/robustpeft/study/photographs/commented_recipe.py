"""How is a recipe written for somebody who has never seen one? Every line with what it does and why it is so."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import yaml

from robustpeft.errors import one_line
from robustpeft.study.axes import AXES
from robustpeft.study.recipe import Recipe
from robustpeft.types import from_plain, to_plain

__all__ = ["NEXT", "commented_recipe"]

NEXT = "Next: "
_WIDTH = 110

# What a reader is told of each line, in the order of the file; a key that is not here is at its default.
_MEANINGS = {
    "backbone": "The pretrained network. It stays frozen: what is trained lies beside it and can be switched off.",
    "backbone.name": "Which one; any ViT of timm's.",
    "backbone.weights": "Where its weights lie; true for the published ones, which are downloaded once.",
    "backbone.image_size": "Photographs are scaled and cropped to this many pixels a side.",
    "start": "The run whose tuned network is frozen in place of the published weights.",
    "data": "The photographs.",
    "data.source": "One folder per class.",
    "data.path": "Where they are.",
    "data.skip_broken": "Leave out files that cannot be read, and say so, instead of stopping at them.",
    "augment": "How training photographs are varied, so that a few go further.",
    "augment.crop_padding": "Shifted by at most this share of each side.",
    "augment.flip": "Mirrored half of the time. Say false where left and right differ: text, road signs, X-rays.",
    "method": "What is trained in the frozen network's stead.",
    "method.name": "FullLoRA, made for adversarial tuning: low-rank branches with a LayerNorm at every linear map.",
    "method.r": "Rank of the branches: more trains more parameters.",
    "objective": "What tuning minimises.",
    "objective.name": "Adversarial training: learn from the worst photographs within the threat, found anew each step.",
    "objective.attack": "How they are found. Every step costs as much as a step of ordinary training.",
    "threat": "What the attacker may do.",
    "threat.norm": "Change every channel of every pixel by at most epsilon.",
    "threat.epsilon": "How much that is, of the range from black (0) to white (1): the contact sheet shows it.",
    "training": "How the parameters are moved.",
    "training.epochs": "Times that every photograph is learnt from.",
    "training.batch_size": "Photographs a step. Where memory runs out, halve it.",
    "training.learning_rate": "How far a step goes. robustpeft tune --find-lr tries five.",
    "training.precision": "Numbers of 16 bits where the GPU has them.",
    "training.epsilon_ramp": "Epsilon grows from 0 to its full size in the first half of the epochs.",
    "training.validations": "How often the validation photographs are looked at; the best epoch is kept.",
    "training.selection_attack": "Under which attack it is the best.",
    "training.selection_images": "On at most this many of them.",
    "training.train_images": "Train on this many only, the same share of each class. Leave the line out for all.",
    "audit": "How the result is judged: robustpeft audit reads it from here.",
    "audit.epsilons": "At a quarter, half and all of the epsilon.",
    "audit.attacks": "From quick to strong. --profile standard adds AutoAttack, the field's yardstick.",
    "audit.images": "On at most this many test photographs, which nothing was chosen on. More is surer, and slower.",
    "audit.batch_size": "Photographs a pass; without influence on the result.",
    "seed": "Of all chance: the same seed gives the same run.",
}
_WHERE_NEEDED = ("start", "backbone.image_size", "data.skip_broken", "training.precision", "training.train_images")


def commented_recipe(recipe: Recipe, head: Sequence[str], reasons: Mapping[str, str]) -> str:
    """Return the recipe as YAML with a comment above every line; reading it gives an equal recipe.

    Args:
        recipe: What to write.
        head: Sentences at the top.
        reasons: Why a value is what it is, by dotted key; stands behind what the key means.

    Raises:
        ValueError: If the recipe has a value beside the default that no line is written for.
    """
    lines = [line for sentence in head for line in _comment(sentence, 0)]
    for key, value in _said(to_plain(recipe, AXES)):
        depth = key.count(".")
        if depth == 0:
            lines.append("")
        meaning = " ".join(part for part in (_MEANINGS[key], _sentence(reasons.get(key, ""))) if part)
        lines += _comment(meaning, depth)
        lines += _entry(key, value, depth)
    text = "\n".join(lines) + "\n"
    if from_plain(Recipe, yaml.safe_load(text), AXES) != recipe:
        raise ValueError("a value of this recipe has no line of its own")
    return text


def _said(plain: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the keys that are written with their values, in the order of the file."""
    for key in _MEANINGS:
        parent, _, leaf = key.rpartition(".")
        value = (plain[parent] if parent else plain)[leaf]
        if key not in _WHERE_NEEDED or value not in (None, False, "float32"):
            yield key, value


def _entry(key: str, value: Any, depth: int) -> list[str]:
    indent, leaf = "  " * depth, key.rpartition(".")[2]
    if any(other.startswith(f"{key}.") for other in _MEANINGS):
        return [f"{indent}{leaf}:"]
    if key == "audit.attacks":
        return [f"{indent}{leaf}:", *(f"{indent}  - {_flow(_brief(attack))}" for attack in value)]
    if key.endswith((".attack", ".selection_attack")):
        value = _brief(value)
    if key.endswith((".epsilon", ".epsilons")):
        return [f"{indent}{leaf}: {_radius(value) if isinstance(value, float) else _radii(value)}"]
    return [f"{indent}{leaf}: {_flow(value)}"]


def _brief(attack: Mapping[str, Any]) -> dict[str, Any]:
    """Return an attack with its name and what is not at its default."""
    from robustpeft.attacks import ATTACK_AXIS, ATTACKS

    usual = to_plain(ATTACKS[attack["name"]](), (ATTACK_AXIS,))
    return {key: value for key, value in attack.items() if key in ("name", "steps") or value != usual.get(key)}


def _flow(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def _radius(value: float) -> str:
    """Return ``4/255`` where that is the same number, the way in which the field writes a radius."""
    steps = Fraction(value * 255).limit_denominator(64)
    word = f"{float(steps):g}"
    return f"{word}/255" if float(word) / 255 == value else repr(value)


def _radii(values: Sequence[float]) -> str:
    return f"[{', '.join(map(_radius, values))}]"


def _sentence(text: str) -> str:
    return text and f"{text[0].upper()}{text[1:]}."


def _comment(text: str, depth: int) -> list[str]:
    indent = "  " * depth
    if text.startswith(NEXT):
        return [f"{indent}# {one_line(text, 2000)}"]  # a command is copied from here: it stays in one line
    lines = textwrap.wrap(one_line(text, 2000), _WIDTH - len(indent), break_long_words=False, break_on_hyphens=False)
    return [f"{indent}# {line}" for line in lines]
