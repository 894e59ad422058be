"""Where does one look at a transfer matrix? In ``transfer.html``; the same numbers in ``transfer.md``."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from robustpeft.records import TransferRecord, write_text
from robustpeft.report.escaping import escaped
from robustpeft.report.markdown import table_markdown
from robustpeft.report.story import listing
from robustpeft.report.templating import page_templates
from robustpeft.report.transfer_figure import transfer_figure
from robustpeft.report.transfer_tables import matrix_table, numbered, paired_table, transfer_sentences
from robustpeft.report.wording import data_text, technique_name, threat_text

__all__ = ["render_transfer_html", "render_transfer_markdown", "write_transfer_report"]

LIMITS = (
    "An image that its source withstands is sent as it came nearest to success; another attack may transfer better.",
    "One attack and one radius were tried; neither the diagonal nor the rest is the worst case over several.",
    "Images were judged as the attack left them, in float32; what eight-bit files keep of them was not measured.",
)


def render_transfer_html(record: TransferRecord) -> str:
    """Return the matrix as one HTML document that loads nothing."""
    return (
        page_templates()
        .get_template("transfer.html")
        .render(
            title=_title(record),
            data_text=data_text(record.data),
            date=record.created[:10] or "-",
            sentences=[sentence.replace(" %", "\u00a0%") for sentence in transfer_sentences(record)],
            figure=Markup(transfer_figure(record, "transfer")),  # noqa: S704  drawn by this package, numbers only
            names=numbered(record),
            matrix=matrix_table(record),
            paired=paired_table(record),
            command=record.command,
            facts=_facts(record),
            limits=LIMITS,
        )
    )


def render_transfer_markdown(record: TransferRecord) -> str:
    """Return the matrix as Markdown."""
    matrix, paired = matrix_table(record), paired_table(record)
    blocks = [f"# {escaped(_title(record))}", *map(escaped, (data_text(record.data), *transfer_sentences(record)))]
    blocks += [f"## {escaped(matrix.title)}", table_markdown(matrix)]
    blocks += [f"## {escaped(paired.title)}", table_markdown(paired)]
    blocks += [
        "## How to reproduce",
        _facts_markdown(record),
    ]
    blocks += ["## What this report does not show", "\n".join(f"- {limit}" for limit in LIMITS)]
    return "\n\n".join(blocks) + "\n"


def write_transfer_report(record: TransferRecord, directory: str | Path) -> Path:
    """Write both files, each whole or not at all, and return the path of the HTML file."""
    page, text = render_transfer_html(record), render_transfer_markdown(record)
    write_text(Path(directory) / "transfer.md", text)
    write_text(Path(directory) / "transfer.html", page)
    return Path(directory) / "transfer.html"


def _facts_markdown(record: TransferRecord) -> str:
    return "\n".join(f"- {escaped(name)}: {escaped(value)}" for name, value in _facts(record))


def _title(record: TransferRecord) -> str:
    return f"Do images made against one fool the others? {listing([s.label for s in record.subjects])}"


def _facts(record: TransferRecord) -> tuple[tuple[str, str], ...]:
    return (
        ("Attack", technique_name(record.attack)),
        ("Threat", threat_text(str(record.threat["norm"]), float(record.threat["epsilon"]))),
        ("Seed", str(record.seed)),
        ("Data digest", record.data.digest),
        *((f"Backbone of {s.label}", f"{s.backbone}, {s.backbone_digest}") for s in record.subjects),
        *record.environment.items(),
    )
