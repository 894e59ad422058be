"""How is a gate shown? A line for every demand, and a sentence on what all of them come to."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from robustpeft.records.gate_result import GateResult, Judgement

__all__ = ["gate_sentence", "gate_table"]

_WORDS: dict[Judgement, tuple[str, str]] = {
    "pass": ("pass", "green"),
    "fail": ("FAIL", "bold red"),
    "unknown": ("not known", "yellow"),
    "waived": ("waived", "magenta"),
}


def gate_table(result: GateResult) -> Table:
    """Return one line for every demand; a waived check stands there with its reason."""
    table = Table(title=Text(result.label), title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("demand", "asked", "found (95 % interval)", ""):
        table.add_column(heading, overflow="fold")
    for demand in result.demands:
        table.add_row(Text(demand.what), Text(demand.asked), Text(demand.found), Text(*_WORDS[demand.judgement]))
    return table


def gate_sentence(result: GateResult) -> Text:
    """Return whether it passes, and what stands in the way."""
    against = [demand.what for demand in result.demands if demand.judgement == result.judgement]
    waived = sum(demand.judgement == "waived" for demand in result.demands)
    if result.judgement == "fail":
        return Text(f"Fails: {'; '.join(against)}.", "bold red")
    if result.judgement == "unknown":
        return Text(f"Cannot be judged: {'; '.join(against)}.", "yellow")
    aside = f", {waived} check{'s' if waived > 1 else ''} waived" if waived else ""
    return Text(f"Passes: {len(result.demands) - waived} demands are met{aside}.", "green")
