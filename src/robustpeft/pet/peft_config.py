"""What does an ``adapter_config.json`` of PEFT's ask for, and can all of it be computed here?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from robustpeft.errors import UserError
from robustpeft.pet.peft_lora import PeftLoRA

__all__ = ["declared_by"]

_HONOURED = (
    "peft_type",
    "r",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "modules_to_save",  # the tensors themselves say what was saved
    "use_rslora",
    "rank_pattern",
    "alpha_pattern",
)
_WITHOUT_EFFECT = (
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "task_type",
)
"""Facts about the file's making, and settings of options that are themselves refused below."""
_HARMLESS = {"bias": "none", "init_lora_weights": ("gaussian", "orthogonal")}
"""Values besides null, false and empty ones that ask for nothing: initial values are replaced by the saved ones."""


def declared_by(config: Mapping[str, Any], layers: Sequence[str]) -> PeftLoRA:
    """Return the technique that a configuration describes.

    Args:
        config: The content of ``adapter_config.json``.
        layers: Dotted paths of all modules of the network, among which a regular expression finds its targets.

    Raises:
        UserError: For DoRA, biases, initialisations that change the frozen weights, and whatever else is not computed
            here: nothing is left out in silence.
    """
    for key in sorted(config.keys() - {*_HONOURED, *_WITHOUT_EFFECT}):
        value = config[key]
        harmless = value == _HARMLESS.get(key) or (key == "init_lora_weights" and value in (True, *_HARMLESS[key]))
        if value and not harmless:
            raise UserError(f"this LoRA of PEFT's has {key} = {value!r}, which is not computed here")
    targets = config.get("target_modules")
    if isinstance(targets, str):
        try:
            targets = [path for path in layers if re.fullmatch(targets, path)]
        except re.error as error:
            raise UserError(f"target_modules is not a regular expression ({error})") from error
    if not targets:
        raise UserError(f"target_modules = {config.get('target_modules')!r} names no layer of this network")
    return PeftLoRA(
        r=int(config.get("r", 8)),
        alpha=float(config.get("lora_alpha", 8)),
        target_modules=tuple(targets),
        dropout=float(config.get("lora_dropout") or 0.0),
        rslora=bool(config.get("use_rslora", False)),
        rank_pattern=tuple((str(k), int(v)) for k, v in (config.get("rank_pattern") or {}).items()),
        alpha_pattern=tuple((str(k), float(v)) for k, v in (config.get("alpha_pattern") or {}).items()),
    )
