import io

import pytest
from rich.console import Console

from robustpeft.records import Paired, TransferRow
from robustpeft.report.transfer_tables import (
    difference_cell,
    matrix_table,
    numbered,
    paired_table,
    spoken_matrix,
    transfer_sentences,
    transfer_terminal,
)


def test_models_are_numbered_as_in_the_figure(transfer_record):
    assert numbered(transfer_record) == ("1 one", "2 <two>", "3 three")


def test_the_matrix_has_sources_in_rows_and_the_images_left_alone_first(transfer_record):
    table = matrix_table(transfer_record)
    assert [row.label for row in table.rows] == [
        "left alone",
        "made against 1 one",
        "made against 2 <two>",
        "made against 3 three",
    ]
    assert [cell.value for cell in table.rows[0].cells] == ["100.0 %", "80.0 %", "100.0 %"]
    assert [cell.value for cell in table.rows[1].cells] == ["10.0 %", "40.0 %", "70.0 %"]
    assert table.rows[2].cells[0].notes == ("6 of 10",)
    assert [column.title for column in table.columns] == ["1 one", "2 <two>", "3 three"]


def test_a_cell_is_paired_with_the_attack_made_against_its_target(transfer_record):
    table = paired_table(transfer_record)
    assert table.rows[1].cells[1].value == "full knowledge"
    cell = table.rows[0].cells[1]
    assert cell.value == "+20.0 points"
    assert cell.notes[0] == "2 against 0 of 10"
    assert cell.notes[1] == "p = 0.5"


@pytest.mark.parametrize(
    ("paired", "value", "p"),
    [
        (Paired(0, 0, 10), "0.0 points", "p = 1"),
        (Paired(1, 4, 10), "-30.0 points", "p = 0.38"),
        (Paired(60, 2, 100), "+58.0 points", "p < 0.001"),
    ],
)
def test_differences_read_in_points(paired, value, p):
    cell = difference_cell(paired)
    assert cell.value == value
    assert cell.notes[1] == p
    low, high = cell.interval.split(" to ")
    assert float(low) < float(high)


def test_no_images_have_no_difference():
    assert difference_cell(Paired(0, 0, 0)).value == "no images"


def test_the_sentences_name_the_most_harmful_stranger(transfer_record):
    said = transfer_sentences(transfer_record)
    assert len(said) == 4
    assert said[0].startswith("Every image was attacked on every model (pgd (steps=20), Linf 0.1)")
    assert said[1].startswith("Images made against <two> turn 40.0 % of those that one recognises")
    assert "against itself 90.0 %" in said[1]
    assert "of 10." in said[1]
    assert said[2].startswith("Images made against one turn 50.0 % of those that <two> recognises")


def test_a_model_that_recognises_nothing_has_no_rate(transfer_record):
    import dataclasses

    rows = tuple(TransferRow(r.id, r.label, (r.clean[0], 2, 2), r.attacked) for r in transfer_record.rows)
    said = transfer_sentences(dataclasses.replace(transfer_record, rows=rows))
    assert said[2] == "<two> recognises no image as it is, so nothing can be turned."


def test_the_terminal_shows_shares_with_intervals(transfer_record):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(transfer_terminal(transfer_record))
    text = console.export_text()
    assert "Linf 0.1" in text
    assert "made against 1 one" in text
    assert "40.0 %" in text


def test_the_matrix_can_be_heard(transfer_record):
    assert "Made against 1 one, shown to 2 <two>: 40.0 % (" in spoken_matrix(transfer_record)
