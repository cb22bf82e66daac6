"""Pictures as SVG text for a page: colours come from the page's style, so that they are right in light and in dark."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

Points = Sequence[tuple[float, float]]

# Room for labels in the letters of a phone, which are larger in these units.
_WIDTH, _HEIGHT = 480, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 68, 24, 12, 52  # beside what is plotted
_ROW = 24  # height of a bar or an interval
_NAMES, _FIGURES = 160, 56  # width of what stands in front of bars and behind them
_HEAD = 20  # height of the text above intervals
_LETTER = 11  # width of one
_NEGLIGIBLE = 1e-9  # of a step between round values


@dataclass(frozen=True, slots=True)
class Series:
    """Something to draw: a line, or marks with intervals.

    Attributes
    ----------
    name : str
        What the legend calls it.
    style : str
        The class of the style: ``model``, ``second``, ``third`` or ``baseline``.
    line : sequence of (x, y)
        Points that are joined.
    marks : sequence of (x, y, low, high)
        Points with intervals of y; equal bounds draw none.
    """

    name: str
    style: str
    line: Points = ()
    marks: Sequence[tuple[float, float, float, float]] = ()


def round_values(low: float, high: float, most: int = 7) -> dict[float, str]:
    """Return the round values from one bound to another, each with its text, and so many at most."""
    least = (high - low) / (most - 1)
    exponent = math.floor(math.log10(least))
    factor, more_digits = next(
        (factor, digits)
        for factor, digits in ((1, 0), (2, 0), (2.5, 1), (5, 0), (10, -1))
        if factor * 10.0**exponent >= least * (1 - _NEGLIGIBLE)
    )
    step, digits = factor * 10.0**exponent, max(0, more_digits - exponent)
    first, last = math.ceil(low / step - _NEGLIGIBLE), math.floor(high / step + _NEGLIGIBLE)
    return {step * count: f"{step * count:.{digits}f}" for count in range(first, last + 1)}


def plot(
    title: str,
    x_label: str,
    y_label: str,
    series: Sequence[Series],
    x: tuple[float, float],
    y: tuple[float, float],
    *,
    x_ticks: Mapping[float, str] | None = None,
) -> str:
    """Return a picture of series over two axes, each from one value to another, with a legend below.

    Parameters
    ----------
    title : str
        What is shown, for those who do not see it.
    x_label, y_label : str
        Names of the axes.
    series : sequence of Series
        What is drawn, the last one on top.
    x, y : (float, float)
        First and last value of each axis.
    x_ticks : mapping of float to str, optional
        Values of x that have a text; round ones if left out.
    """

    def at(point: tuple[float, float]) -> tuple[float, float]:
        across = (point[0] - x[0]) / (x[1] - x[0])
        up = (point[1] - y[0]) / (y[1] - y[0])
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    parts = []
    for value, text in (round_values(*x) if x_ticks is None else x_ticks).items():
        (left, bottom), (_, top) = at((value, y[0])), at((value, y[1]))
        parts.append(f'<line class="grid" x1="{left:.1f}" y1="{bottom:.1f}" x2="{left:.1f}" y2="{top:.1f}"/>')
        parts.append(f'<text x="{left:.1f}" y="{bottom + 19:.1f}" text-anchor="middle">{escape(text)}</text>')
    for value, text in round_values(*y).items():
        (left, bottom), (right, _) = at((x[0], value)), at((x[1], value))
        parts.append(f'<line class="grid" x1="{left:.1f}" y1="{bottom:.1f}" x2="{right:.1f}" y2="{bottom:.1f}"/>')
        parts.append(f'<text x="{left - 8:.1f}" y="{bottom + 4:.1f}" text-anchor="end">{text}</text>')
    for one in series:
        if one.line:
            points = " ".join(f"{left:.1f},{top:.1f}" for left, top in map(at, one.line))
            parts.append(f'<polyline class="{one.style}" points="{points}"/>')
        for across, up, low, high in one.marks:
            left, top = at((across, up))
            if low < high:
                (_, bottom), (_, above) = at((across, max(low, y[0]))), at((across, min(high, y[1])))
                parts.append(
                    f'<line class="{one.style}" x1="{left:.1f}" y1="{bottom:.1f}" x2="{left:.1f}" y2="{above:.1f}"/>'
                )
            parts.append(f'<circle class="{one.style}" cx="{left:.1f}" cy="{top:.1f}" r="4"/>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    turned = f"rotate(-90 14 {_HEIGHT / 2:.0f})"
    parts.append(
        f'<text x="14" y="{_HEIGHT / 2:.0f}" text-anchor="middle" transform="{turned}">{escape(y_label)}</text>'
    )
    legend = "".join(f'<li class="{one.style}">{escape(one.name)}</li>' for one in series)
    return _svg(title, _HEIGHT, parts) + f'<ul class="legend">{legend}</ul>'


def bars(title: str, values: Sequence[tuple[str, float]], mark: float) -> str:
    """Return horizontal bars, one a name, from 0 on, with a line at a value to compare them with."""
    most = max([value for _, value in values] + [mark])
    wide = _WIDTH - _NAMES - _FIGURES
    parts = []
    for row, (name, value) in enumerate(values):
        top = 4 + row * _ROW
        length = wide * value / most
        parts.append(f'<text x="{_NAMES - 8}" y="{top + 15}" text-anchor="end">{escape(name)}</text>')
        parts.append(
            f'<rect class="model" x="{_NAMES}" y="{top + 3}" width="{length:.1f}" height="{_ROW - 8}" rx="3"/>'
        )
        parts.append(f'<text x="{_WIDTH - 4}" y="{top + 15}" text-anchor="end">{value:.3f}</text>')
    height = 8 + len(values) * _ROW
    across = _NAMES + wide * mark / most
    parts.append(f'<line class="baseline" x1="{across:.1f}" y1="2" x2="{across:.1f}" y2="{height - 2}"/>')
    return _svg(title, height, parts)


def intervals(title: str, values: Sequence[tuple[str, float, float, float]], mark: float, text: str) -> str:
    """Return estimates with their intervals, one a row, over an axis, and a line at a value that would mean nothing."""
    low = min([bound for _, _, bound, _ in values] + [mark])
    high = max([bound for _, _, _, bound in values] + [mark])
    margin = 0.08 * (high - low) or 0.01
    low, high = low - margin, high + margin
    wide = _WIDTH - _NAMES - _RIGHT

    def at(value: float) -> float:
        return _NAMES + wide * (value - low) / (high - low)

    top, foot = _HEAD, _HEAD + len(values) * _ROW + 4
    height = foot + 24
    parts = [f'<text x="{at(mark):.1f}" y="{top - 6}" text-anchor="middle">{escape(text)}</text>']
    for value, shown in _signed_values(low, high, wide).items():
        parts.append(f'<line class="grid" x1="{at(value):.1f}" y1="{top}" x2="{at(value):.1f}" y2="{foot}"/>')
        parts.append(f'<text x="{at(value):.1f}" y="{foot + 18}" text-anchor="middle">{shown}</text>')
    parts.append(f'<line class="baseline" x1="{at(mark):.1f}" y1="{top}" x2="{at(mark):.1f}" y2="{foot}"/>')
    for row, (name, value, first, last) in enumerate(values):
        middle = top + 14 + row * _ROW
        parts.append(f'<text x="{_NAMES - 8}" y="{middle + 4}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<line class="model" x1="{at(first):.1f}" y1="{middle}" x2="{at(last):.1f}" y2="{middle}"/>')
        parts.append(f'<circle class="model" cx="{at(value):.1f}" cy="{middle}" r="5"/>')
    return _svg(title, height, parts)


def _signed_values(low: float, high: float, wide: float) -> dict[float, str]:
    """Return as many round values, with their signs, as have room for their texts on an axis."""
    for most in range(7, 2, -1):
        values = {value: f"{'+' if value > 0 else ''}{text}" for value, text in round_values(low, high, most).items()}
        room = wide * (min(b - a for a, b in pairwise(values)) if len(values) > 1 else high - low) / (high - low)
        if room > _LETTER * max(map(len, values.values())):
            break
    return values


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    head = f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
    return f"{head}{''.join(parts)}</svg>"
