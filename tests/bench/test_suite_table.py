"""The table of the parts: that of the results beside it, and percentiles of the rounds themselves."""

import json

import pytest

from bench.suite_table import RESULTS, TABLE, render, summarize


def test_the_table_is_that_of_the_results() -> None:
    assert TABLE.read_text() == render(json.loads(RESULTS.read_text()))


def test_percentiles_are_those_of_the_rounds() -> None:
    rounds = [number / 1e6 for number in range(1, 202)]
    benchmarks = [
        {"group": "a", "extra_info": {"side": side}, "stats": {"data": data}}
        for side, data in (("ours", rounds), ("other", [0.5, 0.1]))
    ]
    found = summarize({"benchmarks": benchmarks})
    assert found["a"]["ours"] == {"p50": 101e-6, "p95": 191e-6, "p99": 199e-6, "rounds": 201}
    made = json.loads(RESULTS.read_text())["made"]
    lines = render({"made": made, "work": found}).splitlines()[-2:]
    assert lines[0] == "| **a** | ours | 101 us | 191 us | 199 us |  | 201 |"
    # Two rounds have no 99th percentile.
    assert lines[1].split(" | ")[1:] == ["other", "300 ms", "480 ms", "-", "2,970", "2 |"]


@pytest.mark.parametrize("part", ["predictor, ", "codec, ", "/predict, ", "batch, ", "start, "])
def test_every_part_has_results_beside_a_yardstick(part: str) -> None:
    work = {name: sides for name, sides in json.loads(RESULTS.read_text())["work"].items() if name.startswith(part)}
    assert work
    for sides in work.values():
        assert "ours" in sides
        assert len(sides) >= 2
