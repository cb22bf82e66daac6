"""Pictures of results as SVG: the same text of the same numbers, so that a test can compare them."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
from cycler import cycler
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.dark import follow_theme

COLORS = ("#1f5fa8", "#c2571a", "#3d8b56", "#8a5fb0", "#6b7785")
_OURS, _OTHERS = COLORS[0], "#a9b7c6"
SETTINGS: Any = {
    "svg.fonttype": "none",  # text stays text, in the reader's own fonts
    "svg.hashsalt": "tickline",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.prop_cycle": cycler(color=COLORS),
    "axes.spines.top": False,
    "axes.spines.right": False,
}

Points = Sequence[tuple[float, float]]


def bars(title: str, values: Mapping[str, float], ours: str, text: Callable[[float], str]) -> str:
    """Return horizontal bars on a logarithmic scale, the largest on top.

    Parameters
    ----------
    title : str
        What is shown, with its unit.
    values : mapping
        The value of each name, more than 0.
    ours : str
        The name that stands out.
    text : callable
        Writes a value beside its bar.
    """
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(8.0, 0.6 + 0.3 * len(values)), layout="constrained")
        axes = figure.subplots()
        ordered = sorted(values.items(), key=lambda item: item[1])
        names, sizes = zip(*ordered, strict=True)
        drawn = axes.barh(names, sizes, color=[_OURS if name == ours else _OTHERS for name in names])
        axes.bar_label(drawn, [text(size) for size in sizes], padding=4)
        axes.set_xscale("log")
        axes.set_xlim(min(sizes) / 2, max(sizes) * 4)
        axes.xaxis.set_visible(False)
        axes.spines["bottom"].set_visible(False)
        axes.set_title(f"{title} (logarithmic)", loc="left")
        return svg_of(figure)


def curves(
    title: str,
    x: str,
    y: str,
    lines: Mapping[str, Points],
    ticks: Sequence[float] = (),
    text: Callable[[float], str] = "{:,g}".format,
) -> str:
    """Return curves on logarithmic scales.

    Parameters
    ----------
    title, x, y : str
        What is shown, and the two axes with their units.
    lines : mapping
        The points of each name, all coordinates more than 0.
    ticks : sequence of float
        Marked on the first axis; by default powers of ten.
    text : callable
        Writes a value on the second axis.
    """
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(8.0, 3.6), layout="constrained")
        axes = figure.subplots()
        for (name, points), color in zip(lines.items(), COLORS, strict=False):
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, color=color, label=name)
        axes.set_xscale("log")
        axes.set_yscale("log")
        if ticks:
            axes.set_xticks(list(ticks), [f"{tick:,g}" for tick in ticks])
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.set_title(title, loc="left")
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        return svg_of(figure)


def svg_of(figure: Any) -> str:
    """Return a figure, drawn with `SETTINGS`, as a picture that follows the reader's theme."""
    FigureCanvasSVG(figure)
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return follow_theme("\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n")
