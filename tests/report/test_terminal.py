import io
from dataclasses import replace

from rich.console import Console

from robustpeft.report import terminal_table


def test_the_terminal_shows_the_counts_and_reads_no_markup_in_labels(make_record):
    console = Console(file=io.StringIO(), width=160)
    console.print(terminal_table([make_record("[red]evil[/red]"), make_record("other", pgd=set(range(40)))]))
    text = console.file.getvalue()
    for expected in ("[red]evil[/red]", "97.5 %", "40 test images", "37.5 %", "Trained", "20 steps"):
        assert expected in text


def with_more_attacks(record, count):
    pgd = record["pgd@linf:0.1"]
    more = [replace(pgd, key=f"apgd@linf:0.1#{i}", name="apgd", settings={"steps": 100 + i}) for i in range(count)]
    rows = [
        replace(row, predictions=row.predictions | {m.key: row.predictions[pgd.key] for m in more})
        for row in record.rows
    ]
    return replace(record, measurements=(*record.measurements, *more), rows=tuple(rows))


def test_in_80_columns_the_worst_case_is_shown_and_single_attacks_give_way(make_record):
    console = Console(file=io.StringIO(), width=80)
    console.print(terminal_table([with_more_attacks(make_record("FullLoRA, adversarial"), 6)]))
    text = console.file.getvalue()
    for expected in ("Worst", "Clean", "Trained", "more attacks stand in the report"):
        assert expected in text
    few = Console(file=io.StringIO(), width=80)
    few.print(terminal_table([make_record()]))
    assert "more attacks" not in few.file.getvalue()
