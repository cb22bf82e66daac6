"""The table of the server on the wire: it is that of the results beside it, and says of each figure what they say."""

import json
from dataclasses import replace

import pytest

from bench import wire_table
from bench.wire import RESULTS, TABLE
from bench.wire_figures import FIGURES, Figure, Sense, Unit
from bench.wire_table import REASONS, render, verdict

FIGURE = Figure("key", "what", "peer", Unit.MICROSECONDS, Sense.TIMES_LESS, 10, 20)


def test_the_table_is_that_of_the_results() -> None:
    assert TABLE.read_text() == render(json.loads(RESULTS.read_text()))


def test_every_figure_has_a_key_of_its_own_and_a_result() -> None:
    keys = [figure.key for figure in FIGURES]
    assert len(set(keys)) == len(keys)
    assert set(keys) == set(json.loads(RESULTS.read_text())["figures"])


def test_reasons_belong_to_figures() -> None:
    assert REASONS.keys() <= {figure.key for figure in FIGURES}


@pytest.mark.parametrize(
    ("sense", "ratio", "expected"),
    [
        (Sense.TIMES_LESS, 20.0, "beyond"),
        (Sense.TIMES_LESS, 10.0, "reached"),
        (Sense.TIMES_LESS, 9.9, "not reached"),
        (Sense.AT_MOST, 1.0, "beyond"),
        (Sense.AT_MOST, 20.1, "not reached"),
    ],
)
def test_verdicts(sense: Sense, ratio: float, expected: str) -> None:
    assert verdict(replace(FIGURE, sense=sense), ratio).startswith(expected)


def test_a_figure_that_is_not_reached_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(wire_table.REASONS, "key", "the moon was full")
    assert verdict(FIGURE, 1.0) == "not reached: the moon was full"
    assert verdict(FIGURE, 10.0) == "reached"
    assert verdict(replace(FIGURE, reach=0.0, beyond=0.0), 1.0) == "-"


def test_an_open_loop_with_a_fault_reaches_nothing() -> None:
    results = json.loads(RESULTS.read_text())
    figure = next(figure for figure in FIGURES if figure.key.startswith("open/"))
    results["figures"][figure.key]["ratio"] = figure.beyond
    loop = results["open_loop"][figure.key.removeprefix("open/")]
    loop["client_is_limit"] = loop["overload"] = False
    lines = [line for line in render(results).splitlines() if figure.what in line]
    loop["overload"] = True
    with_fault = [line for line in render(results).splitlines() if figure.what in line]
    assert [line.split(" | ")[-1] for line in lines] == ["beyond |"]
    assert [line.split(" | ")[-1].startswith("no evidence: ") for line in with_fault] == [True]


def test_an_idle_ceiling_is_no_evidence() -> None:
    results = json.loads(RESULTS.read_text())
    figure = next(figure for figure in FIGURES if figure.key.startswith("rate/"))
    load = results["servers"][figure.key.removeprefix("rate/")][figure.peer]
    for cpu, expected in ((0.5e-5, "no evidence: nginx used 50% of its core, so that it was no ceiling |"), (1e-5, "")):
        load.update(rate=1e5, cpu=cpu)
        (line,) = [line for line in render(results).splitlines() if figure.what in line]
        assert ("no evidence" in line) == bool(expected)
        assert line.endswith(expected)
