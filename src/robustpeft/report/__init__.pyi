from .files import write_report, write_robustbench
from .headline import Headline, headline
from .markdown import render_markdown
from .page import render_html
from .terminal import terminal_headlines, terminal_ladder, terminal_table
from .transfer_page import write_transfer_report
from .transfer_tables import transfer_terminal

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
