"""The statistics of rounds."""

from dataclasses import astuple

import pytest

from bench.wire_figures import Comparison, Sense, compare, quartiles


@pytest.mark.parametrize(
    ("sense", "expected"),
    [
        (Sense.TIMES_LESS, Comparison(2.0, 20.0, 10.0, 7.5, 15.0)),
        (Sense.SHARE, Comparison(2.0, 20.0, 0.1, 0.075, 0.15)),
        (Sense.AT_MOST, Comparison(2.0, 20.0, 0.1, 0.075, 0.15)),
        (Sense.VALUE, Comparison(2.0, 0.0, 2.0, 1.5, 3.0)),
    ],
)
def test_ratios_are_those_of_the_rounds(sense: Sense, expected: Comparison) -> None:
    peer = [] if sense is Sense.VALUE else [20.0, 20.0, 20.0]
    assert astuple(compare(sense, [1.0, 2.0, 4.0], peer)) == pytest.approx(astuple(expected))


def test_a_disturbed_round_changes_no_median() -> None:
    # What disturbs a round disturbs both sides of it, and the ratio of the round stays what it is.
    assert compare(Sense.TIMES_LESS, [1.0, 9.0, 1.0], [10.0, 90.0, 10.0]) == Comparison(1.0, 10.0, 10.0, 10.0, 10.0)
    assert compare(Sense.TIMES_LESS, [1.0, 1.0, 9.0], [10.0, 10.0, 10.0]).ratio == 10.0


def test_quartiles() -> None:
    assert quartiles([3.0]) == (3.0, 3.0)
    assert quartiles([5.0, 1.0, 4.0, 2.0, 3.0]) == (2.0, 4.0)
