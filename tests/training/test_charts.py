"""Pictures as SVG: round values on their axes, and every label inside."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.charts import Series, bars, intervals, plot, round_values


@given(st.floats(-1000, 1000), st.floats(1e-6, 1e6))
def test_values_on_an_axis_are_round_few_and_within_it(widths_off_zero: float, width: float) -> None:
    low = widths_off_zero * width
    high = low + width
    ticks = round_values(low, high)
    assert 1 <= len(ticks) <= 7
    slack = 1e-6 * width
    assert all(low - slack <= value <= high + slack for value in ticks)
    assert len(set(ticks.values())) == len(ticks), "two values look the same"
    for value, text in ticks.items():
        assert float(text) == pytest.approx(value, abs=1e-9 * width)


@pytest.mark.parametrize(
    ("bounds", "texts"),
    [
        ((0.0, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ((0.214, 0.646), ["0.3", "0.4", "0.5", "0.6"]),
        ((-0.09, 0.03), ["-0.08", "-0.06", "-0.04", "-0.02", "0.00", "0.02"]),
        ((0.7, 3.5), ["1.0", "1.5", "2.0", "2.5", "3.0", "3.5"]),
    ],
)
def test_round_values_are_those_a_reader_expects(bounds: tuple[float, float], texts: list[str]) -> None:
    assert list(round_values(*bounds).values()) == texts


def test_no_label_is_cut_or_hides_another_even_in_the_letters_of_a_phone() -> None:
    """A letter is 17 units high there and at most 0.62 of that wide in the fonts of browsers."""
    pictures = (
        plot("t", "across", "up", [Series("a", "model", [(0.214, 0.0)])], (0.2, 0.65), (-0.05, 0.05)),
        bars("t", [("High_Low_Range", 0.5), ("Close_Position", 0.25)], 0.1),
        intervals("t", [("majority class", -5.0, -13.5, 0.7), ("persistence", 2.0, -4.0, 8.0)], 0.0, "no gain"),
        intervals("t", [("fold 1", -0.04, -0.079, 0.019), ("fold 2", -0.02, -0.03, 0.001)], 0.0, "no gain"),
    )
    for picture in pictures:
        width = int(re.search(r'viewBox="0 0 (\d+)', picture).group(1))  # type: ignore[union-attr]
        labels = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">([^<]+)<', picture)
        assert labels
        ends: dict[str, float] = {}
        for left, top, anchor, text in labels:
            wide = 0.62 * 17 * len(text)
            begin = float(left) - {"middle": wide / 2, "end": wide}[anchor]
            assert begin >= ends.get(top, 0), (text, picture)
            assert begin + wide <= width, (text, picture)
            ends[top] = begin + wide
