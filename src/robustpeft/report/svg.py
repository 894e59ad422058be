"""How does a matplotlib figure become part of a page, or a file? As SVG in the page's colours, or with plain ones."""

from __future__ import annotations

import html
import io
import re

import matplotlib as mpl
from matplotlib import colors
from matplotlib.artist import Artist
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter

from robustpeft.errors import printable

__all__ = ["GRID", "INK", "SERIES", "figure_pdf", "figure_svg", "standalone_svg"]

# Colours that nobody draws with; each is replaced by the CSS colour after it, so that the page's theme decides.
INK = "#010203"
GRID = "#010204"
SERIES = tuple(f"#0102{index:02x}" for index in range(0x10, 0x17))
_CSS = {
    INK: "currentColor",
    GRID: "var(--grid, #d0d0d0)",
    # The palette of Okabe and Ito 2008, darkest first; the stylesheet gives lighter ones on a dark page.
    SERIES[0]: "var(--series-1, #0072b2)",
    SERIES[1]: "var(--series-2, #d55e00)",
    SERIES[2]: "var(--series-3, #009e73)",
    SERIES[3]: "var(--series-4, #cc79a7)",
    SERIES[4]: "var(--series-5, #e69f00)",
    SERIES[5]: "var(--series-6, #56b4e9)",
    SERIES[6]: "var(--series-7, #000000)",
}
_PLAIN_INK = "#222222"
_HEX = re.compile("#[0-9a-f]{6}")


def figure_svg(figure: Figure, name: str, title: str = "", description: str = "") -> str:
    """Return a figure as an SVG element for an HTML page.

    Args:
        figure: Drawn in the colours of this module.
        name: Unique on the page; every id inside begins with it.
        title: Read aloud for the figure; without one it is hidden from screen readers as decoration.
        description: Read aloud after the title.

    Returns:
        One ``<svg>`` element, the same for the same figure every time.
    """
    FigureCanvasSVG(figure)
    powers = _powers(figure)
    for text in figure.findobj(Text):
        text.set_text(printable(text.get_text()))  # names of models and classes may be anything
        text.set_parse_math(text in powers)
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    drawing = re.sub(r"^.*?<svg[^>]*>|</svg>\s*$", "", buffer.getvalue(), flags=re.DOTALL)
    width, height = (72 * inches for inches in figure.get_size_inches())
    head = f'<svg class="figure" viewBox="0 0 {width:g} {height:g}" {_spoken(name, title, description)}'
    return f"{head}{_themed(_named(_bare(drawing), name))}</svg>"


def _powers(figure: Figure) -> set[Artist]:
    """Return the tick labels that matplotlib writes as formulas: those of logarithmic axes."""
    axes = [axis for plot in figure.axes for axis in (plot.xaxis, plot.yaxis)]
    written = [axis for axis in axes if isinstance(axis.get_major_formatter(), LogFormatter)]
    return {label for axis in written for minor in (False, True) for label in axis.get_ticklabels(minor=minor)}


def standalone_svg(svg: str) -> str:
    """Return a figure made for a page as a file of its own: plain colours on white, a font, and the name space.

    Without the white, its dark ink would be lost on a dark page that shows the file.
    """
    fixed = re.sub(r"var\(--[a-z0-9-]+, (#[0-9a-f]+)\)", r"\1", svg).replace("currentColor", _PLAIN_INK)
    head = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" font-family="sans-serif"'
    head += ' style="background-color: #ffffff"'
    return f"{fixed.replace('<svg', head, 1)}\n"


def figure_pdf(figure: Figure) -> bytes:
    """Return a figure as one page of PDF in plain colours; the figure is painted over, so make its SVG before.

    The same for the same figure every time; text stays text.
    """
    _paint(figure)
    FigureCanvasPdf(figure)
    buffer = io.BytesIO()
    with mpl.rc_context({"pdf.fonttype": 42}):
        figure.savefig(buffer, format="pdf", transparent=True, metadata={"CreationDate": None})
    return buffer.getvalue()


def _paint(figure: Figure) -> None:
    """Give everything in a figure the plain colour that its placeholder stands for."""
    plain = {
        colors.to_rgb(given): colors.to_rgb(found[0]) for given, css in _CSS.items() if (found := _HEX.findall(css))
    }
    plain[colors.to_rgb(INK)] = colors.to_rgb(_PLAIN_INK)
    for artist in figure.findobj():
        for word in ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor"):
            read, write = getattr(artist, f"get_{word}", None), getattr(artist, f"set_{word}", None)
            if read is None or write is None:
                continue
            now = colors.to_rgba_array(read())
            wanted = [(*plain.get(tuple(color[:3]), color[:3]), color[3]) for color in now.tolist()]
            if wanted and wanted != [tuple(color) for color in now.tolist()]:
                write(wanted[0] if len(wanted) == 1 else wanted)


def _spoken(name: str, title: str, description: str) -> str:
    """Return the attributes and elements that assistive technology reads, up to and with the closing bracket."""
    if not title:
        return 'aria-hidden="true" focusable="false">'
    return (
        f'role="img" aria-labelledby="{name}-title {name}-desc"><title id="{name}-title">{html.escape(title)}</title>'
        f'<desc id="{name}-desc">{html.escape(description)}</desc>'
    )


def _bare(drawing: str) -> str:
    """Drop what would leak into the page or force its own look: style sheet, metadata and font."""
    drawing = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r"font-family: [^;\"]*;? ?", "", drawing)
    return re.sub(r"\s*\n\s*", " ", drawing).replace("xlink:href", "href")


def _named(drawing: str, name: str) -> str:
    """Keep the ids that something refers to, and let them begin with the name."""
    used = {a or b for a, b in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', drawing)}
    drawing = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", drawing)
    drawing = re.sub(r'\bid="', f'id="{name}-', drawing)
    return drawing.replace('href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")


def _themed(drawing: str) -> str:
    for color, css in _CSS.items():
        drawing = drawing.replace(color, css)
    return drawing
