"""Pictures of results: the same numbers make the same text, and every name and value is in it."""

from xml.etree import ElementTree

import pytest

from bench import charts
from bench.dark import DARK, follow_theme

VALUES = {"slow": 2.0, "ours": 1_500.0, "quick": 30.0}


def texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_bars_name_every_value_and_the_largest_is_on_top() -> None:
    svg = charts.bars("requests/s", VALUES, "ours", "{:,.0f}".format)
    assert svg == charts.bars("requests/s", dict(reversed(VALUES.items())), "ours", "{:,.0f}".format)
    assert {"requests/s (logarithmic)", "slow", "quick", "ours", "2", "30", "1,500"} <= set(texts(svg))
    assert svg.count(charts.COLORS[0]) == 1
    drawn = [text for text in texts(svg) if text in VALUES]
    assert drawn == ["slow", "quick", "ours"], "matplotlib draws from the bottom up"


def test_curves_have_their_names_axes_and_ticks() -> None:
    lines = {"p50": [(1.0, 0.1), (512.0, 5.0)], "p99": [(1.0, 0.3), (512.0, 9.0)]}
    svg = charts.curves("latency", "connections", "ms", lines, [1, 512])
    assert svg == charts.curves("latency", "connections", "ms", lines, [1, 512])
    assert {"latency", "connections", "ms", "p50", "p99", "1", "512"} <= set(texts(svg))


@pytest.mark.parametrize("declared", ['style="fill: #1f5fa8; stroke: #000000"', 'fill="#1f5fa8"'])
def test_colours_are_others_in_the_dark(declared: str) -> None:
    svg = follow_theme(f'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">\n<path {declared}/>\n</svg>\n')
    style = next(element.text for element in ElementTree.fromstring(svg) if element.tag.endswith("style"))
    assert "fill: var(--1f5fa8, #1f5fa8)" in svg
    assert style
    assert f":root {{ --ink: {DARK['#000000']}; --1f5fa8: {DARK['#1f5fa8']} }}" in style


def test_a_colour_without_a_dark_one_is_refused() -> None:
    with pytest.raises(KeyError):
        follow_theme('<svg>\n<path fill="#123456"/>\n</svg>\n')
