"""Objectives on a command line."""

import pytest

from bench.slo import Objective, parse_objective

STEP = {"requests": 1000, "errors": 1, "rate": 990.0, "due": 1000.0, "latency": {"p99": 0.002, "max": 0.5}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p99=1ms", Objective("p99=1ms", "p99", 0.001)),
        ("max=0.5s", Objective("max=0.5s", "max", 0.5)),
        ("p99.9=800us", Objective("p99.9=800us", "p99.9", 0.0008)),
        ("errors=3", Objective("errors=3", "errors", 3.0)),
        ("errors=0.1%", Objective("errors=0.1%", "errors", 0.001, True)),
        ("rate=99%", Objective("rate=99%", "rate", 0.99, True)),
    ],
)
def test_objectives_are_read(text: str, expected: Objective) -> None:
    found = parse_objective(text)
    assert (found.text, found.name, found.share) == (expected.text, expected.name, expected.share)
    assert found.value == pytest.approx(expected.value)


@pytest.mark.parametrize("text", ["p99", "p99=1", "p99=1 ms", "p98=1ms", "errors=x", "errors=1ms", "rate=", "=1ms", ""])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_objective(text)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("p99=2ms", True),
        ("p99=1999us", False),
        ("max=500ms", True),
        ("errors=1", True),
        ("errors=0", False),
        ("errors=0.1%", True),
        ("errors=0.09%", False),
        ("rate=990", True),
        ("rate=991", False),
        ("rate=99%", True),
        ("rate=99.1%", False),
    ],
)
def test_whether_a_step_keeps_them(text: str, holds: bool) -> None:
    assert parse_objective(text).holds(STEP) == holds
