"""``robustpeft predict``: what does a tuned model say of a folder of pictures?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from robustpeft.cli.options import Device, Weights
from robustpeft.errors import UserError, printable

__all__ = ["predict"]


def predict(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Directory of a run, or USER/NAME on the hub.")],
    pictures: Annotated[
        Path, typer.Argument(metavar="PICTURES", help="A picture, or a folder: those in it and in the folders below.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The CSV file.")] = Path("predictions.csv"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file that is there.")] = False,
    device: Device = "auto",
    weights: Weights = None,
    trust: Annotated[bool, typer.Option("--trust", help="Import classes of others that the run names.")] = False,
    batch_size: Annotated[int, typer.Option(help="Pictures per forward pass.")] = 64,
) -> None:
    """Write one line per picture: path, label, confidence, and why a picture cannot be read."""
    if output.exists() and not overwrite:
        raise UserError(f"{output} exists; give another --output, or --overwrite")
    from robustpeft import study
    from robustpeft.study.predict import in_short

    model = study.load(run, device=str(study.find_device(device)), weights=weights, trust=trust)
    predictions = study.predict(model, pictures, batch_size)
    study.write_predictions(predictions, output)
    broken = [prediction for prediction in predictions if prediction.problem]
    for prediction in broken:
        print(printable(f"warning: {prediction.path} cannot be read: {prediction.problem}"), file=sys.stderr)
    if broken:
        print(f"warning: {len(broken)} of {len(predictions)} pictures cannot be read", file=sys.stderr)
    for line in in_short(predictions):
        print(printable(line))
    print(f"predictions: {output}")
