import dataclasses

from robustpeft.records import Rate
from robustpeft.report.tables import cost_table, headline_table, rate_cell
from robustpeft.report.wording import rate_text


def test_the_headline_holds_every_count_of_the_record(make_record):
    record = make_record()
    table = headline_table([record])
    row = dict(zip([c.text for c in table.columns], table.rows[0].cells, strict=True))
    assert row["Clean accuracy"].text == rate_text(Rate(39, 40))
    assert row["FGSM (Linf 0.1)"].text == rate_text(Rate(30, 40))
    assert row["PGD (Linf 0.1, 20 steps)"].text == rate_text(Rate(20, 40))
    assert row["Worst case (Linf 0.1 or less)"].text == rate_text(Rate(15, 40))


def test_an_attack_that_one_record_lacks_leaves_a_dash(make_record):
    record = make_record()
    poorer = dataclasses.replace(record, measurements=tuple(m for m in record.measurements if m.name != "fgsm"))
    table = headline_table([poorer, record])
    column = [c.title for c in table.columns].index("FGSM")
    assert [row.cells[column].value for row in table.rows] == ["-", "75.0 %"]


def test_trained_parameters_are_shown_with_and_without_the_head(make_record):
    subject = dataclasses.replace(make_record().subject, num_trained=12_000, num_trained_head=500, adapter_bytes=48_000)
    record = make_record(subject=subject)
    texts = [cell.text for cell in headline_table([record]).rows[0].cells]
    assert texts[-2:] == ["12,000, 12.0 %, without head 11,500, 11.5 %", "48 kB, model 400 kB"]
    assert [cell.text for cell in cost_table([record]).rows[0].cells][1:] == [
        "12,000, 12.0 %",
        "11,500, 11.5 %",
        "100,000",
        "48 kB",
        "400 kB",
    ]


def test_macro_accuracy_appears_only_where_classes_are_uneven(make_record):
    record = make_record()
    assert headline_table([record]).rows[0].cells[0].notes == ("39 of 40",)
    uneven = dataclasses.replace(record["clean"], per_class=(Rate(30, 30), Rate(0, 2), Rate(8, 8), Rate(0, 0)))
    changed = dataclasses.replace(record, measurements=(uneven, *record.measurements[1:]))
    assert headline_table([changed]).rows[0].cells[0].notes == ("39 of 40", "macro 66.7 %")


def test_records_without_rows_name_the_column_for_what_it_is(make_record):
    assert "Strongest attack" in [c.title for c in headline_table([make_record(rows=())]).columns]


def test_no_images_are_no_rate():
    assert rate_cell(Rate(0, 0)).text == "no images"
    assert rate_cell(None).text == "-"
