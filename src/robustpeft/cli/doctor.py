"""``robustpeft doctor``: is this machine fit for it, and if not, what is to be done?"""

from __future__ import annotations

from typing import Annotated

import typer

from robustpeft.cli.exit_status import ExitStatus

__all__ = ["doctor"]

_MARKS = {"ok": "ok      ", "warning": "warning ", "broken": "BROKEN  "}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look at versions, device, threads, memory, disk, extras and caches, and run a self-test; status 1 if broken."""
    from robustpeft.study.doctor import examine

    found = examine()
    if as_json:
        import dataclasses
        import json

        print(json.dumps([dataclasses.asdict(finding) for finding in found], indent=2))
    else:
        for finding in found:
            remedy = f"\n{'':8}-> {finding.remedy}" if finding.remedy and finding.verdict != "ok" else ""
            offer = f" ({finding.remedy})" if finding.remedy and finding.verdict == "ok" else ""
            print(f"{_MARKS[finding.verdict]}{finding.topic}: {finding.text}{offer}{remedy}")
    if any(finding.verdict == "broken" for finding in found):
        raise typer.Exit(ExitStatus.FAILED)
