"""``robustpeft export``: how does a tuned model leave for programs that do not know this library?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robustpeft.cli.options import Weights

__all__ = ["export"]


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Directory of a run, or USER/NAME on the hub.")],
    to: Annotated[Path, typer.Option(help="merged.safetensors or model.onnx.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file that is there.")] = False,
    weights: Weights = None,
    trust: Annotated[bool, typer.Option("--trust", help="Import classes of others that the run names.")] = False,
) -> None:
    """Write merged weights under the backbone's own names, or an ONNX file that takes images in [0, 1]."""
    from robustpeft import study

    exported = study.export(study.load(run, weights=weights, trust=trust), to, overwrite=overwrite)
    print(f"exported: {exported.path}")
    if to.suffix == ".onnx":
        seen = exported.difference
        said = "not checked: pip install onnxruntime" if seen is None else f"largest difference of logits {seen:.1e}"
        print(f"onnxruntime: {said}")
