"""The gate's judgement, on recorded rounds: noise passes, a fifth more time does not, whatever the machine does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import gate
from bench.gate import Change, Ratios, check, compare, compare_all, load, middle, render, save
from bench.gate_rounds import slowed
from bench.servers import MeasureError


def noisy(seed: int, factor: float = 1.0, processes: int = 7, rounds: int = 6) -> list[list[float]]:
    """Return ratios as a busy machine gives them: processes differ by some per cent, and some rounds are spoilt."""
    random = np.random.default_rng(seed)
    ratios = (
        0.25 * factor * random.lognormal(0.0, 0.02, (processes, 1)) * random.lognormal(0.0, 0.02, (processes, rounds))
    )
    ratios *= np.where(random.random(ratios.shape) < 0.1, random.uniform(1.0, 3.0, ratios.shape), 1.0)
    found: list[list[float]] = ratios.tolist()
    return found


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_change(seed: int) -> None:
    change = compare("x", noisy(2 * seed), noisy(2 * seed + 1), 0.1)
    assert change.verdict == "same"
    assert change.low < 1.0 < change.high or abs(change.change - 1.0) < 0.05


@pytest.mark.parametrize("seed", range(20))
def test_a_fifth_more_time_is_a_regression(seed: int) -> None:
    change = compare("x", noisy(2 * seed), noisy(2 * seed + 1, 1.2), 0.1)
    assert change.verdict == "regressed"
    assert change.change == pytest.approx(1.2, abs=0.06)


def test_a_fifth_less_time_is_an_improvement() -> None:
    assert compare("x", noisy(0), noisy(1, 0.8), 0.1).verdict == "improved"


def test_one_disturbed_process_is_no_regression() -> None:
    now = noisy(1)
    now[3] = [5.0] * 6
    assert compare("x", noisy(0), now, 0.1).verdict == "same"


def test_where_processes_disagree_nothing_is_proven() -> None:
    now = [noisy(seed, factor)[0] for seed, factor in enumerate((0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5))]
    change = compare("x", noisy(0), now, 0.1)
    assert change.change > 1.1
    assert change.verdict == "same"


def test_work_that_only_one_side_knows() -> None:
    assert compare("x", [], [[1.0]], 0.1).verdict == "new"
    assert compare("x", [[1.0]], [], 0.1).verdict == "gone"


def test_the_middle_is_that_of_processes() -> None:
    assert middle([[1.0, 2.0, 9.0], [3.0, 3.0, 3.0], [9.0, 4.0, 4.0]]) == 3.0


class Recorded:
    """Series of rounds in the order in which they were recorded."""

    def __init__(self, *series: Ratios) -> None:
        self.asked: list[Sequence[str]] = []
        self._series = iter(series)

    def __call__(self, only: Sequence[str]) -> Ratios:
        self.asked.append(only)
        return next(self._series)


def test_what_seems_to_regress_is_measured_again() -> None:
    before = {"a": noisy(0), "b": noisy(1)}
    recorded = Recorded({"a": noisy(2, 1.3), "b": noisy(3)}, {"a": noisy(4)})
    changes, now = check(before, recorded, 0.1)
    assert recorded.asked == [[], ["a"]]
    assert [change.verdict for change in changes] == ["same", "same"]
    assert now["a"] == noisy(4)


def test_what_regresses_twice_has_regressed() -> None:
    before = {"a": noisy(0), "b": noisy(1)}
    changes, _ = check(before, Recorded({"a": noisy(2, 1.2), "b": noisy(3)}, {"a": noisy(4, 1.2)}), 0.1)
    assert {change.name: change.verdict for change in changes} == {"a": "regressed", "b": "same"}


def test_a_clean_series_is_measured_once() -> None:
    recorded = Recorded({"a": noisy(2)})
    check({"a": noisy(0)}, recorded, 0.1)
    assert recorded.asked == [[]]


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    ratios = {"a, b": [[1.23456, 0.000012345]]}
    save(tmp_path / "folder" / "baseline.json", {"processor": "x", "load": 1.5}, ratios)
    assert load(tmp_path / "folder" / "baseline.json") == (
        {"processor": "x", "load": 1.5},
        {"a, b": [[1.235, 0.00001234]]},
    )


@pytest.mark.parametrize(("text", "message"), [(None, "No such file"), ("{}", "no baseline"), ("x", "no baseline")])
def test_what_is_no_baseline_is_refused(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(MeasureError, match=message):
        load(path)


def test_the_table_ends_with_the_worst() -> None:
    changes = compare_all({"a": noisy(0), "b": noisy(1)}, {"a": noisy(2, 1.2), "b": noisy(3), "c": noisy(4)}, 0.1)
    lines = render(changes).splitlines()
    assert [line.split()[0] for line in lines] == ["work", "c", "b", "a"]
    assert lines[-1].endswith("regressed")
    assert render([Change("x", 1.0, 1.2, 1.2, 1.15, 1.25, 0.1)]).splitlines()[1].split() == (
        ["x", "1", "1.2", "1.20", "1.15", "to", "1.25", "regressed"]
    )


def test_slower_work_is_done_more_often() -> None:
    assert [slowed(calls, 1.2) for calls in (5, 10, 1000)] == [6, 12, 1200]
    assert slowed(7, 1.0) == 7


def test_the_committed_baseline_knows_kernels_and_predictor() -> None:
    made, ratios = load(Path(__file__).parents[2] / "bench" / "results" / "baseline.json")
    assert {"processor", "date", "command", "versions"} <= made.keys()
    assert {name.partition(",")[0] for name in ratios} == {"features", "predictor", "codec", "/predict", "batch"}
    for processes in ratios.values():
        assert np.array(processes).ndim == 2  # as many rounds in each process


@pytest.mark.parametrize("asked", [{"only": ["nothing"]}, {"slow": {"nothing": 1.2}}])
def test_work_that_nobody_knows_is_refused(asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "model_file", lambda name, folder: None)
    monkeypatch.setattr(gate, "_run", lambda order: {"known": [1.0]})
    with pytest.raises(MeasureError, match="expected names of codec work, got 'nothing'"):
        gate.measure(1, 1, ("codec",), **asked)
    assert gate.measure(1, 1, ("codec",), ["known"]) == {"known": [[1.0]]}
