from matplotlib.figure import Figure

from robustpeft.report.svg import INK, figure_svg


def test_a_figure_without_a_title_is_decoration():
    figure = Figure(figsize=(1, 0.5))
    figure.text(0.5, 0.5, "x", color=INK)
    drawing = figure_svg(figure, "d")
    assert drawing.startswith('<svg class="figure" viewBox="0 0 72 36" aria-hidden="true"')
    assert drawing.endswith("</svg>")
    assert "fill: currentColor" in drawing


def test_titles_are_escaped():
    assert '<title id="d-title">&lt;b&gt;</title>' in figure_svg(Figure(), "d", "<b>", "")
