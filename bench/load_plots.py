"""Pictures of a load: latency by percentile, and latency against the offered rate."""

from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from bench.charts import SETTINGS, svg_of

_MARKS = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999)
_LINES = {"p50": "#8fb4dc", "p90": "#5b8ec6", "p99": "#1f5fa8", "p99.9": "#c2571a"}


@matplotlib.rc_context(SETTINGS)
def draw_by_percentile(steps: Sequence[dict[str, Any]]) -> str:
    """Return an SVG with a curve for each step, percentiles stretched towards 100 as HDR plots have them."""
    figure, axes = _figure()
    highest = 10.0
    for step in steps:
        points = [(100.0 / (100.0 - at), 1e3 * value) for at, value in step["percentiles"] if at < 100.0]
        highest = max(highest, points[-1][0])
        name = f"{step['offered']:,.0f}/s" if step["loop"] == "open" else f"closed loop, {step['rate']:,.0f}/s"
        axes.step(*zip(*points, strict=True), where="post", label=name, linewidth=1.4)
    axes.set_xscale("log")
    axes.set_xlim(1.0, highest)
    axes.xaxis.set_major_locator(FixedLocator([100.0 / (100.0 - mark) for mark in _MARKS]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100.0 - 100.0 / x:g} %"))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.set_xlabel("percentile")
    return _finish(figure, axes, "latency by percentile")


@matplotlib.rc_context(SETTINGS)
def draw_by_rate(steps: Sequence[dict[str, Any]]) -> str:
    """Return an SVG of latencies against the offered rate, from the open-loop steps."""
    figure, axes = _figure()
    points = sorted((step for step in steps if step["loop"] == "open"), key=lambda step: float(step["offered"]))
    rates = [step["offered"] for step in points]
    for name, color in _LINES.items():
        axes.plot(rates, [1e3 * step["latency"][name] for step in points], marker="o", color=color, label=name)
    axes.set_xlabel("requests offered a second")
    axes.set_xlim(left=0.0)
    return _finish(figure, axes, "latency against offered rate")


def _figure() -> tuple[Figure, Any]:
    figure = Figure(figsize=(8.0, 4.4), layout="constrained")
    return figure, figure.subplots()


def _finish(figure: Figure, axes: Any, title: str) -> str:
    axes.set_title(title, loc="left")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.set_ylabel("latency, ms")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return svg_of(figure)
