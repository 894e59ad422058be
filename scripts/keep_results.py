"""Keep what the README and the decisions quote: small records of finished runs, in docs/results.

python scripts/keep_results.py demo robustpeft-demo
python scripts/keep_results.py study runs/fulllora-digits

Of a study its record is kept, the audit of every run with its rows, which the paired tests need, and the report as
Markdown with its figures; absolute paths are cut down to their last part.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import shutil
from pathlib import Path

from robustpeft.errors import UserError
from robustpeft.records import read_record, read_study_record, write_record, write_study_record
from robustpeft.records.distance_record import DISTANCE_FILE
from robustpeft.records.transfer_record import ROWS_FILE, TRANSFER_FILE
from robustpeft.report.study import write_study_report
from robustpeft.study.private_paths import without_paths

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
_NOT_KEPT = (".html", ".pdf", ".tex", ".bib")  # of a report: `robustpeft report DIR` writes them again
_LINK = re.compile(r"\[PDF\]\([^)]*\), ")  # to one of these, in the report


def main() -> None:
    """Copy the counts of one kind of run; rows and images stay behind."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kind", choices=["demo", "study"])
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    if arguments.kind == "demo":
        for name in ("undefended", "lora-digits", "fulllora-digits"):
            record = read_record(arguments.directory / name)
            write_record(dataclasses.replace(record, rows=(), gallery=(), adversarial=()), RESULTS / "demo" / name)
    else:
        keep_study(arguments.directory, RESULTS / "studies")


def keep_study(directory: Path, results: Path) -> Path:
    """Copy what a study found into a directory of its name below `results`, and return that."""
    study, place = read_study_record(directory), results / directory.resolve().name
    if place.resolve() == directory.resolve():
        raise UserError(f"{directory} is what was kept of a study; give the directory of the study itself")
    shutil.rmtree(place, ignore_errors=True)
    for run in (run for arm in study.arms for run in arm.whole):
        record = dataclasses.replace(study.audit(run), gallery=(), adversarial=())
        write_record(dataclasses.replace(record, command=without_paths(record.command)), place / "store" / run.identity)
    for stage in (stage for stage in study.stages if not stage.failed):
        _copy_stage(study.place(stage.identity), place / "store" / stage.identity)
    kept = dataclasses.replace(study, directory=place, store="store", command=without_paths(study.command))
    write_study_record(kept)
    report = write_study_report(kept)
    for file in report.parent.iterdir():
        if file.suffix in _NOT_KEPT:
            file.unlink()
    report.write_text(_LINK.sub("", report.read_text(encoding="utf-8")), encoding="utf-8")
    return place


def _copy_stage(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    if (source / ROWS_FILE).is_file():  # ids, labels and predictions
        shutil.copyfile(source / ROWS_FILE, target / ROWS_FILE)
    for name in (TRANSFER_FILE, DISTANCE_FILE):
        if (source / name).is_file():
            text = json.dumps(without_paths(json.loads((source / name).read_text(encoding="utf-8"))), indent=2)
            (target / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
