from xml.etree import ElementTree

from matplotlib.figure import Figure

from robustpeft.report.svg import INK, figure_svg, standalone_svg


def test_a_figure_without_a_title_is_decoration():
    figure = Figure(figsize=(1, 0.5))
    figure.text(0.5, 0.5, "x", color=INK)
    drawing = figure_svg(figure, "d")
    assert drawing.startswith('<svg class="figure" viewBox="0 0 72 36" aria-hidden="true"')
    assert drawing.endswith("</svg>")
    assert "fill: currentColor" in drawing


def test_titles_are_escaped():
    assert '<title id="d-title">&lt;b&gt;</title>' in figure_svg(Figure(), "d", "<b>", "")


def test_names_with_control_characters_leave_a_drawing_that_can_be_read():
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().set_title("cat\x1b[2J\x00dog")
    drawing = ElementTree.fromstring(standalone_svg(figure_svg(figure, "f")))
    words = " ".join(text for part in drawing.iter() if (text := (part.text or "").strip()))
    assert "cat" in words
    assert words.isprintable()
