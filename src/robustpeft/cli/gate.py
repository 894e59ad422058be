"""``robustpeft gate``: may this model be released?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["gate"]

_STATUS = {"pass": 0, "fail": 1, "unknown": 2}


def gate(
    record: Annotated[Path, typer.Argument(metavar="RECORD", help="Directory of a record, or its audit.json.")],
    policy: Annotated[Path, typer.Argument(metavar="POLICY", help="A YAML file; docs/gate.md shows one.")],
) -> None:
    """Hold a record against a policy, at the pessimistic end of every 95 % interval.

    Exit status: 0 it passes, 1 it fails, 2 something that the policy asks for was not measured.
    """
    from rich.console import Console

    from robustpeft.report.gate import gate_sentence, gate_table
    from robustpeft.study import gate as judge

    found = judge(record, policy)
    console = Console()
    console.print(gate_table(found))
    console.print(gate_sentence(found))
    raise typer.Exit(_STATUS[found.judgement])
