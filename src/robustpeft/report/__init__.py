"""How is a record shown? As one HTML page, as Markdown and in the terminal; counts become percentages only here."""

from robustpeft.report.files import write_report, write_robustbench
from robustpeft.report.headline import Headline, headline
from robustpeft.report.markdown import render_markdown
from robustpeft.report.page import render_html
from robustpeft.report.terminal import terminal_headlines, terminal_ladder, terminal_table
from robustpeft.report.transfer_page import write_transfer_report
from robustpeft.report.transfer_tables import transfer_terminal

__all__ = [
    "Headline",
    "headline",
    "render_html",
    "render_markdown",
    "terminal_headlines",
    "terminal_ladder",
    "terminal_table",
    "transfer_terminal",
    "write_report",
    "write_robustbench",
    "write_transfer_report",
]
