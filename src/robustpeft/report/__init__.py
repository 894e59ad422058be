"""How is a record shown? As one HTML page, as Markdown and in the terminal; counts become percentages only here."""

from robustpeft.report.files import write_report
from robustpeft.report.markdown import render_markdown
from robustpeft.report.page import render_html
from robustpeft.report.terminal import terminal_table

__all__ = ["render_html", "render_markdown", "terminal_table", "write_report"]
