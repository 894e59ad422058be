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
    assert "104 steps" in text  # the last two stay
    assert "103 steps" not in text
    few = Console(file=io.StringIO(), width=80)
    few.print(terminal_table([make_record()]))
    assert "more attacks" not in few.file.getvalue()


def test_images_found_on_other_models_give_way_first(make_record):
    record = make_record("FullLoRA, adversarial")
    pgd = record["pgd@linf:0.1"]
    found = [replace(pgd, key=f"{name}@linf:0.1", name=name) for name in ("transfer", "sibling")]
    rows = [
        replace(row, predictions=row.predictions | {m.key: row.predictions[pgd.key] for m in found})
        for row in record.rows
    ]
    console = Console(file=io.StringIO(), width=80)
    console.print(terminal_table([replace(record, measurements=(*record.measurements, *found), rows=tuple(rows))]))
    assert "FGSM" in console.file.getvalue()
    assert "PGD" in console.file.getvalue()
    assert "Transfer" not in console.file.getvalue()
