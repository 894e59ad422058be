from robustpeft.report import write_transfer_report
from robustpeft.report.transfer_page import render_transfer_html, render_transfer_markdown


def test_the_page_escapes_labels_and_loads_nothing(transfer_record):
    page = render_transfer_html(transfer_record)
    assert "&lt;two&gt;" in page
    assert "<two>" not in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "safe" not in page.lower().replace("safetensors", "")
    for value in ("40.0 %", "full knowledge", "+20.0 points", "robustpeft compare a b"):
        assert value in page


def test_the_markdown_has_the_same_numbers(transfer_record):
    text = render_transfer_markdown(transfer_record)
    assert "| made against 1 one | 10.0 % (" in text
    assert "+20.0 points" in text
    assert "d" * 64 in text


def test_both_files_are_written(transfer_record, tmp_path):
    path = write_transfer_report(transfer_record, tmp_path)
    assert path.name == "transfer.html"
    assert path.read_text() == render_transfer_html(transfer_record)
    assert (tmp_path / "transfer.md").read_text() == render_transfer_markdown(transfer_record)
