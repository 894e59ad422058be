"""Is it a folder of Hugging Face transformers? Configuration and safetensors, read without network or remote code."""

from __future__ import annotations

import importlib.util
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from robustpeft.backbones import wrap
from robustpeft.errors import UserError
from robustpeft.study.targets.base import STRANGERS, Loaded, Target
from robustpeft.study.targets.checkpoint import refuse_not_finite
from robustpeft.study.targets.facts import Facts
from robustpeft.study.targets.normalizations import NORMALIZATIONS, Normalization, named

__all__ = ["TransformersTarget"]

_CONFIG, _WEIGHTS, _PROCESSOR = "config.json", "model.safetensors", "preprocessor_config.json"


@final
@dataclass(frozen=True)
class TransformersTarget(Target):
    """A folder with ``config.json`` and ``model.safetensors`` of an image classifier.

    Its ``preprocessor_config.json`` says the normalisation, its ``id2label`` the classes.
    """

    looks_like = "a folder of transformers (config.json, model.safetensors)"
    takes = STRANGERS

    @classmethod
    def claims(cls, words: str, facts: Facts) -> bool:
        """Return whether there is a configuration that names a model of transformers."""
        file = Path(words) / _CONFIG
        return file.is_file() and not (Path(words) / "adapter_config.json").is_file()

    def load(self, facts: Facts) -> Loaded:
        """Return the network; nothing of it may be missing in the file, nothing be left over."""
        folder = Path(self.words)
        config = _read(folder / _CONFIG)
        if "model_type" not in config:
            raise UserError(f"{folder / _CONFIG} is no configuration of transformers: it names no model_type")
        if importlib.util.find_spec("transformers") is None:
            raise UserError("a folder of transformers needs that package: pip install 'robustpeft[hf]'")
        if not any(folder.glob("model*.safetensors")):
            raise UserError(f"{folder} has no {_WEIGHTS}; pickles (pytorch_model.bin) are not read, convert them")
        network = _network(folder)
        refuse_not_finite(network.state_dict(), str(folder / _WEIGHTS))
        model = wrap(network.eval(), name=str(config.get("_name_or_path") or folder.resolve().name))
        stated = _normalization(folder)
        labels = {int(number): str(name) for number, name in (config.get("id2label") or {}).items()}
        outputs = tuple(labels[number] for number in sorted(labels))
        meaningless = all(name == f"LABEL_{number}" for number, name in enumerate(outputs))
        return Loaded(
            model,
            normalization=stated,
            normalization_by=_PROCESSOR if stated else "",
            outputs=() if meaningless else outputs,
            outputs_by="" if meaningless else f"id2label in {_CONFIG}",
        )


def _network(folder: Path) -> Any:
    from transformers import AutoModelForImageClassification

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what does not fit is asked for below
            network, said = AutoModelForImageClassification.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
    except Exception as error:  # a configuration may be wrong in every way that a constructor can fail
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{folder} is no image classifier that transformers can read ({said})") from error
    wrong = {key: [str(name) for name in said.get(key) or ()] for key in _INFO}
    if any(wrong.values()):
        listed = "; ".join(f"{len(n)} {_INFO[k]} ({', '.join(n[:3])})" for k, n in wrong.items() if n)
        raise UserError(f"{folder / _WEIGHTS} does not fit {type(network).__name__}: {listed}")
    return network


_INFO = {"missing_keys": "missing", "unexpected_keys": "unexpected", "mismatched_keys": "of another shape"}


def _normalization(folder: Path) -> Normalization | None:
    file = folder / _PROCESSOR
    if not file.is_file():
        return None
    said = _read(file)
    if said.get("do_normalize") is False:
        return NORMALIZATIONS["none" if said.get("do_rescale", True) else "bytes"]
    if "image_mean" not in said or "image_std" not in said:
        return None
    mean, std = (list(map(float, said[key])) for key in ("image_mean", "image_std"))
    return named(mean, std)


def _read(file: Path) -> dict[str, Any]:
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is damaged ({type(error).__name__}: {error})") from error
    if not isinstance(said, dict):
        raise UserError(f"{file} is damaged: it holds no mapping")
    return said
