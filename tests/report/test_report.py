import dataclasses
import io
import re
import subprocess
import sys
from html.parser import HTMLParser

from rich.console import Console

from robustpeft.records import FolderRecord, FolderRow, Subject
from robustpeft.report import render_html, render_markdown, terminal_headlines, terminal_table
from robustpeft.report.contact_page import ContactCell, ContactRow, render_contact_page
from robustpeft.report.folder_text import folder_lines
from robustpeft.report.transfer_page import render_transfer_html, render_transfer_markdown


def test_reports_need_no_torch():
    code = "import sys, robustpeft.report; sys.exit(bool({'torch', 'torchvision', 'timm'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))


def assert_harmless(html):
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & {"script", "iframe", "object", "embed", "base", "form"}
    assert not [name for _, given in page.tags for name in given if name.startswith("on")]
    for _, given in page.tags:
        for name in ("src", "href", "action", "srcset"):
            assert given.get(name, "#").startswith(("data:", "#", "./", "audit", "transfer")), given
    assert "1337" not in html, "a template within a name was rendered"


def hostile_record(make_record, evil):
    record = make_record(evil or "-", command=evil, environment={"torch": evil}, created=evil)
    item = dataclasses.replace(record.gallery[0])
    return dataclasses.replace(
        record,
        subject=dataclasses.replace(record.subject, backbone=evil, method={"name": "lora", "note": evil}),
        data=dataclasses.replace(record.data, classes=(evil,) * 4, name=evil, note=evil, digest=evil),
        gallery=(item,),
    )


def test_pages_hold_it_as_text(evil, make_record, transfer_record):
    record = hostile_record(make_record, evil)
    assert_harmless(render_html([record], title=evil))
    subjects = tuple(dataclasses.replace(s, label=f"{i}{evil}") for i, s in enumerate(transfer_record.subjects))
    data = dataclasses.replace(transfer_record.data, name=evil, classes=(evil,) * 4)
    transfer = dataclasses.replace(transfer_record, subjects=subjects, data=data, command=evil)
    assert_harmless(render_transfer_html(transfer))
    cells = tuple(ContactCell("data:image/png;base64,AA==", fooled=True) for _ in range(2))
    assert_harmless(render_contact_page(evil, evil, (0, 4), [ContactRow(evil, evil, cells)], 224))


def test_markdown_holds_no_html_of_its_own(evil, make_record, transfer_record):
    record = hostile_record(make_record, evil)
    subjects = tuple(dataclasses.replace(s, label=f"{i}{evil}") for i, s in enumerate(transfer_record.subjects))
    for text in (
        render_markdown([record]),
        render_transfer_markdown(dataclasses.replace(transfer_record, subjects=subjects)),
    ):
        outside = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
        assert "<script" not in outside
        assert "<img" not in outside


def test_a_terminal_shows_it_and_obeys_nothing(evil, make_record):
    record = hostile_record(make_record, evil)
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)
    console.print(*terminal_headlines([record]), sep="\n")
    console.print(terminal_table([record]))
    shown = console.file.getvalue()
    assert "\x1b]" not in shown
    assert "\x1b[2J" not in shown
    assert "\x9b" not in shown
    rows = (FolderRow(evil, 0, 0, None), FolderRow(evil, 1, 0, None))
    folder = FolderRecord(Subject(evil, evil, "b" * 64, 1, 1), evil, (evil, evil), rows, note=evil)
    assert all(line.isprintable() for line in folder_lines(folder))
