import dataclasses

import pytest

from robustpeft.records import Measurement, Rate
from robustpeft.report import render_html, render_markdown
from robustpeft.report.breakdown import (
    breakdown_tables,
    class_table,
    corruption_table,
    rates_table,
    worst_case_panels,
)


def with_corruptions(record, wrong):
    """Common corruptions with so many of the 40 images wrong at severities 1 and 3, by kind."""
    added, rows = [], [dict(row.predictions) for row in record.rows]
    for kind, counts in wrong.items():
        for severity, count in zip((1, 3), counts, strict=True):
            key = f"corruption:{kind}@{severity}"
            per_class = tuple(Rate(sum(i >= count for i in range(c, 40, 4)), 10) for c in range(4))
            settings = {"kind": kind, "severity": severity}
            added.append(
                Measurement(
                    key, "perturbation", "corruption", Rate(40 - count, 40), per_class, settings, strength=severity
                )
            )
            for i, row in enumerate(rows):
                row[key] = (i + (i < count)) % 4
    return dataclasses.replace(
        record,
        measurements=(*record.measurements, *added),
        rows=tuple(dataclasses.replace(r, predictions=p) for r, p in zip(record.rows, rows, strict=True)),
    )


def test_three_rates_stand_together_and_the_area_beside_them(make_record):
    table = rates_table([make_record()])
    clean, robust, success, area = table.rows[0].cells
    # wrong when left alone: image 0; under FGSM 0 to 9, under PGD 5 to 24
    assert clean.notes == ("39 of 40",)
    assert robust.notes == ("15 of 40",)
    assert success.notes == ("24 of 39",)
    # at 0.05 every second one: 0, 2, ..., 8 and 5, 7, ..., 23: 25 left of 40
    expected = (0.05 * (39 + 25) / 2 + 0.05 * (25 + 15) / 2) / 0.1 / 40
    assert area.value == f"{100 * expected:.1f} %"
    assert area.notes == ("2 radii and the clean images",)
    assert "recognised when left alone" in table.columns[2].text


def test_classes_come_worst_first(make_record):
    table = class_table(make_record(pgd=set(range(5, 25)) | {25, 29, 33, 37}))
    assert table.rows[0].label == "one"
    assert table.rows[0].cells[1].notes == ("0 of 10",)
    assert table.rows[0].cells[0].notes == ("10 of 10",)
    assert table.title == "FullLoRA class by class; worst under attack: one"
    assert len(table.rows) == 4
    assert table.rows_are == "Class"


def test_classes_that_are_equally_bad_are_counted(make_record):
    table = class_table(make_record(clean=set(), fgsm=set(), pgd=set(range(40))))
    assert table.title.endswith("worst under attack: zero and 3 alike")


def test_without_rows_or_attacks_there_are_no_such_tables(make_record):
    bare = make_record(rows=())
    assert rates_table([bare]) is None
    assert class_table(bare) is None
    assert worst_case_panels([bare]) == ()
    record = make_record()
    quiet = dataclasses.replace(record, measurements=tuple(m for m in record.measurements if m.kind != "attack"))
    assert breakdown_tables([quiet]) == ()
    assert breakdown_tables([]) == worst_case_panels([]) == ()


def test_the_worst_case_is_a_curve_of_every_model(make_record):
    (panel,) = worst_case_panels([make_record(), make_record("LoRA", pgd=set())])
    assert panel.title == "Worst case over all attacks, Linf"
    assert [curve.label for curve in panel.curves] == ["FullLoRA", "LoRA"]
    assert panel.curves[0].points == ((0.0, Rate(39, 40)), (0.05, Rate(25, 40)), (0.1, Rate(15, 40)))


def test_corruptions_are_averaged_and_compared_with_the_first(make_record):
    first = with_corruptions(make_record("first"), {"fog": (10, 20), "frost": (4, 4)})
    second = with_corruptions(make_record("second"), {"fog": (5, 10), "frost": (8, 8)})
    table = corruption_table([first, second])
    assert [column.text for column in table.columns] == ["Mean of the kinds", "mCE (against first)", "Fog", "Frost"]
    assert [cell.value for cell in table.rows[0].cells] == ["76.2 %", "100.0 %", "62.5 %", "90.0 %"]
    assert [cell.value for cell in table.rows[1].cells] == ["80.6 %", "125.0 %", "81.2 %", "80.0 %"]
    assert "severities 1, 3" in table.title
    assert "frost is drawn" in table.title


@pytest.mark.parametrize("render", [render_html, render_markdown])
def test_report_and_text_hold_them(make_record, render):
    record = with_corruptions(make_record(), {"fog": (10, 20)})
    text = render([record])
    for words in ("Three rates and an area", "class by class", "Common corruptions", "Worst case over all attacks"):
        assert words in text
    assert "Corruption</h3>" not in text


def test_other_corruptions_leave_no_ratio(make_record):
    first = with_corruptions(make_record("first"), {"fog": (10, 20)})
    second = with_corruptions(make_record("second"), {"snow": (5, 10)})
    table = corruption_table([first, second])
    assert [cell.value for cell in table.rows[1].cells] == ["81.2 %", "-", "-", "81.2 %"]
    assert corruption_table([make_record()]) is None
