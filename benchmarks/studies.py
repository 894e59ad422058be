"""What do the store and the scheduling of a study cost, when its experiments cost nothing?

    OMP_NUM_THREADS=1 python benchmarks/studies.py --write docs/results/studies.md

Trivial experiments, which write one line and return a result, go through everything that real ones go through:
identity, claim with its heartbeat, description, result, events. Beside seconds on the clock stand seconds of a core,
which other programs on the machine do not lengthen.

-  300 in this process: seconds per experiment, and the memory of the process after 50 and after 300 of them
-  the same 300 again, which are all done: what starting a finished study again costs
-  the reading of its table (`study status`)
-  experiments that wait for 0.2 s, and some that need one core for 1 s, with one and with two workers: does the second
   worker help?
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from robustpeft.study.grid import CellResult, Job, Local, Store, Study, arms_of, status, work
from robustpeft.study.grid.cells import Cell

COUNT, EARLY, GOAL = 300, 50, 0.050


def trivial(cell: Cell, directory: Path, device: str) -> CellResult:
    """Cost nothing."""
    (directory / "metrics.jsonl").write_text("{}\n")
    return CellResult(1000, 100, 10, 100, 95, 50, 0.0)


def waiting(cell: Cell, directory: Path, device: str) -> CellResult:
    """Take a fifth of a second, and no core."""
    time.sleep(0.2)
    return trivial(cell, directory, device)


def computing(cell: Cell, directory: Path, device: str) -> CellResult:
    """Take a second of one core."""
    until = time.process_time() + 1
    while time.process_time() < until:
        sum(range(10_000))
    return trivial(cell, directory, device)


def study_of(count: int) -> Study:
    """Return a study of so many experiments without trials."""
    return Study("many", "fulllora-digits", axes={"training.epochs": tuple(range(1, count + 1))}, seeds=(1,))


def resident() -> float:
    """Return MiB of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def in_process(store: Path, cells: list[Cell]) -> tuple[list[float], float, float]:
    """Return seconds of every experiment, and memory after `EARLY` and after all of them."""
    jobs = [Job(cell, store, "cpu", trivial) for cell in cells]
    seconds, early, before = [], 0.0, time.perf_counter()
    for event in Local().run(work, jobs):
        if event.kind == "done":
            seconds.append(time.perf_counter() - before)
            before = time.perf_counter()
        if len(seconds) == EARLY:
            early = resident()
    return seconds, early, resident()


def seconds_with(workers: int, store: Path, cells: list[Cell], perform: object) -> float:
    """Return seconds from the first end to the last, so that the start of workers does not count.

    The first ends of all workers are left out: as many experiments as there are workers.
    """
    jobs = [Job(cell, store, "cpu", perform) for cell in cells]  # type: ignore[arg-type]
    ends = [time.perf_counter() for event in Local(workers).run(work, jobs) if event.kind == "done"]
    assert len(ends) == len(cells)
    return (ends[-1] - ends[workers - 1]) / (len(ends) - workers)


def measure(place: Path) -> list[tuple[str, str]]:
    """Return what is measured, and how much it is."""
    cells = [arm.runs({})[0] for arm in arms_of(study_of(COUNT))]
    began = time.process_time()
    seconds, early, late = in_process(place / "a", cells)
    core = (time.process_time() - began) / COUNT
    quartiles = statistics.quantiles(seconds, n=4)
    again, _, _ = in_process(place / "a", cells)
    began, core_began = time.perf_counter(), time.process_time()
    arms = arms_of(study_of(COUNT))
    made, core_made = time.perf_counter() - began, time.process_time() - core_began
    began, core_began = time.perf_counter(), time.process_time()
    shown = status(study_of(COUNT), Store(place / "a"), arms)
    looked, core_looked = time.perf_counter() - began, time.process_time() - core_began
    assert sum(arm.runs["done"] for arm in shown) == COUNT
    rows = [
        ("one trivial experiment, mean", f"{1000 * statistics.mean(seconds):.1f} ms (goal: under {1000 * GOAL:.0f})"),
        ("of which a core worked", f"{1000 * core:.1f} ms"),
        ("its median, quartiles, longest", _milliseconds(quartiles[1], quartiles[0], quartiles[2], max(seconds))),
        ("one that is done already, mean", f"{1000 * statistics.mean(again):.2f} ms"),
        (f"making {COUNT} arms from the file", f"{made:.2f} s, of which a core worked {core_made:.2f} s"),
        (f"status of all {COUNT}", f"{looked:.2f} s, of which a core worked {core_looked:.2f} s"),
        (f"memory after {EARLY} experiments", f"{early:.1f} MiB"),
        (f"memory after {COUNT} experiments", f"{late:.1f} MiB ({late - early:+.1f})"),
    ]
    for name, perform, count in (("waiting 0.2 s", waiting, 30), ("computing 1 s", computing, 6)):
        for workers in (1, 2):
            per = seconds_with(workers, place / f"{name} {workers}", cells[:count], perform)
            rows.append((f"{count} of {name}, {workers} worker{'s' * (workers > 1)}", f"{per:.3f} s per experiment"))
    return rows


def _milliseconds(*values: float) -> str:
    return ", ".join(f"{1000 * value:.1f}" for value in values) + " ms"


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", type=Path, help="a Markdown file whose table is replaced")
    write = parser.parse_args().write
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as place:
        rows = measure(Path(place))
    machine = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"
    load_text = f"load of the machine {load:.1f} before and {os.getloadavg()[0]:.1f} after, other programs included"
    lines = [f"n = {COUNT}; {machine}; {load_text}.", "", "| what | measured |", "| --- | --- |"]
    table = "\n".join([*lines, *(f"| {what} | {value} |" for what, value in rows)])
    print(table)
    if write is not None:
        before, _, rest = write.read_text(encoding="utf-8").partition("<!-- measured -->\n")
        after = rest.partition("<!-- /measured -->")[2]
        write.write_text(f"{before}<!-- measured -->\n\n{table}\n\n<!-- /measured -->{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
