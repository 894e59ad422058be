"""Keep what the README and the decisions quote: small records of finished runs, in docs/results.

python scripts/keep_results.py demo robustpeft-demo
python scripts/keep_results.py arms runs/demo_arms
python scripts/keep_results.py ablations runs/digits_ablations
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from robustpeft.records import read_record, write_json, write_record

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"


def main() -> None:
    """Copy the counts of one kind of run; rows and images stay behind."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kind", choices=["demo", "arms", "ablations"])
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    if arguments.kind == "demo":
        for name in ("undefended", "lora-digits", "fulllora-digits"):
            record = read_record(arguments.directory / name)
            write_record(dataclasses.replace(record, rows=(), gallery=(), adversarial=()), RESULTS / "demo" / name)
    else:
        comparison = json.loads((arguments.directory / "comparison.json").read_text(encoding="utf-8"))
        write_json(RESULTS / f"{arguments.kind}.json", comparison)


if __name__ == "__main__":
    main()
