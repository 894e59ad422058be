import io

from rich.console import Console

from robustpeft.report import terminal_table


def test_the_terminal_shows_the_counts_and_reads_no_markup_in_labels(make_record):
    console = Console(file=io.StringIO(), width=160)
    console.print(terminal_table([make_record("[red]evil[/red]"), make_record("other", pgd=set(range(40)))]))
    text = console.file.getvalue()
    for expected in ("[red]evil[/red]", "97.5 %", "40 test images", "37.5 %", "Trained", "20 steps"):
        assert expected in text
