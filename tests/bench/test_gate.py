"""The gate's judgement, on recorded ratios: noise passes, a fifth more time does not, and doubt is said."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tickline
from bench.gate import (
    FOREIGN_TOLERANCE,
    IMPROVED,
    NEW,
    REGRESSED,
    SAME,
    UNCLEAR,
    Change,
    check,
    compare,
    compare_all,
    measure,
    render,
    summary,
)
from bench.gate_baseline import Baseline, Ratios, load, save
from bench.gate_rounds import Order, slowed
from bench.servers import MeasureError

HERE: dict[str, Any] = {
    "identity": "AMD EPYC, family 25, model 17, L3 32768 KiB",
    "date": "2026-11-26T12:00:00Z",
    "python": "3.11.7",
    "versions": {"onnxruntime": "1.32.0", "numpy": "2.4.6"},
}
THERE = {**HERE, "identity": "AMD EPYC, family 26, model 2, L3 16384 KiB", "date": "2026-11-23T12:00:00Z"}


def noisy(seed: int, factor: float = 1.0, processes: int = 12, spread: float = 0.03) -> list[float]:
    """Return ratios as a busy machine gives them: processes differ by some per cent, and one is spoilt."""
    random = np.random.default_rng(seed)
    ratios = 0.25 * factor * random.lognormal(0.0, spread, processes)
    ratios[random.integers(processes)] *= random.uniform(1.0, 1.5)
    found: list[float] = ratios.tolist()
    return found


@pytest.mark.parametrize("processes", [6, 12])
@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_change(seed: int, processes: int) -> None:
    change = compare("x", noisy(2 * seed), noisy(2 * seed + 1, processes=processes), 0.1)
    assert change.verdict == SAME
    assert change.low < 1.0 < change.high or abs(change.change - 1.0) < 0.05


@pytest.mark.parametrize("processes", [6, 12])
@pytest.mark.parametrize("seed", range(20))
def test_a_fifth_more_time_is_a_regression(seed: int, processes: int) -> None:
    change = compare("x", noisy(2 * seed), noisy(2 * seed + 1, 1.2, processes), 0.1)
    assert change.verdict == REGRESSED
    assert change.change == pytest.approx(1.2, abs=0.06)


def test_a_fifth_less_time_is_an_improvement() -> None:
    assert compare("x", noisy(0), noisy(1, 0.8), 0.1).verdict == IMPROVED


def test_one_disturbed_process_is_no_regression() -> None:
    now = noisy(1)
    now[3] = 5.0
    assert compare("x", noisy(0), now, 0.1).verdict == SAME


@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_where_processes_disagree_there_is_no_evidence(factor: float) -> None:
    now = [factor * ratio for ratio in (0.2, 0.225, 0.25, 0.275, 0.3, 0.325)]
    change = compare("x", noisy(0), now, 0.1)
    assert change.low < 1.1 < change.high
    assert change.verdict == UNCLEAR


def test_a_tenth_more_time_is_neither_a_regression_nor_none() -> None:
    assert compare("x", noisy(0), noisy(1, 1.1), 0.1).verdict == UNCLEAR


def test_one_process_says_nothing() -> None:
    change = compare("x", noisy(0), [1.0], 0.1)
    assert (change.low, change.high, change.verdict) == (0.0, 0.0, UNCLEAR)


def test_work_that_the_baseline_does_not_know() -> None:
    assert compare("x", [], [1.0], 0.1).verdict == NEW


def test_another_machines_baseline_proves_large_losses_alone() -> None:
    before = noisy(0)
    for factor, verdict in ((0.5, UNCLEAR), (1.0, UNCLEAR), (1.7, UNCLEAR), (2.4, REGRESSED)):
        assert compare("x", before, noisy(1, factor), FOREIGN_TOLERANCE, foreign=True).verdict == verdict


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
    assert [change.verdict for change in changes] == [SAME, SAME]
    assert now["a"] == noisy(4)


def test_what_regresses_twice_has_regressed() -> None:
    before = {"a": noisy(0), "b": noisy(1)}
    changes, _ = check(before, Recorded({"a": noisy(2, 1.2), "b": noisy(3)}, {"a": noisy(4, 1.2)}), 0.1)
    assert {change.name: change.verdict for change in changes} == {"a": REGRESSED, "b": SAME}


def test_of_what_stays_in_doubt_all_processes_decide() -> None:
    wide = noisy(2, 1.18, processes=6, spread=0.12)
    before, again = noisy(0), noisy(5, 1.18, processes=6, spread=0.12)
    assert compare("a", before, wide, 0.1).verdict == compare("a", before, again, 0.1).verdict == UNCLEAR
    (change,), now = check({"a": before}, Recorded({"a": wide}, {"a": again}), 0.1)
    assert now["a"] == wide + again
    assert change == compare("a", before, wide + again, 0.1)


def test_a_clean_series_is_measured_once() -> None:
    recorded = Recorded({"a": noisy(2)})
    check({"a": noisy(0)}, recorded, 0.1)
    assert recorded.asked == [[]]


def test_another_machines_doubts_are_not_measured_again() -> None:
    recorded = Recorded({"a": noisy(2)})
    check({"a": noisy(0)}, recorded, FOREIGN_TOLERANCE, foreign=True)
    assert recorded.asked == [[]]


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "baseline.json"
    save(path, Baseline(HERE, {"a, b": [1.23456, 0.000012345]}))
    assert load(path, HERE["identity"]) == Baseline(HERE, {"a, b": [1.235, 0.00001234]})


def test_each_kind_of_machine_keeps_its_own(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    for made, ratio in ((THERE, 1.0), (HERE, 2.0), (HERE, 3.0)):
        save(path, Baseline(made, {"a": [ratio]}))
    assert load(path, HERE["identity"]).ratios == {"a": [3.0]}
    assert load(path, THERE["identity"]).ratios == {"a": [1.0]}
    unknown = load(path, "Neoverse-N1")
    assert unknown.ratios == {"a": [3.0]}, "the newest of all"
    assert unknown.foreign({"identity": "Neoverse-N1"})
    assert not unknown.foreign(HERE)


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "No such file"), ("{}", "no baseline"), ("x", "no baseline"), ('{"a": {"made": {}}}', "no baseline")],
)
def test_what_is_no_baseline_is_refused(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(MeasureError, match=message):
        load(path, "x")


def test_only_the_parts_of_what_is_measured_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[Order] = []

    def run(order: Order) -> dict[str, float]:
        orders.append(order)
        return dict.fromkeys(order.only, 1.0)

    monkeypatch.setattr("bench.gate._run", run)
    monkeypatch.setattr("bench.gate.model_file", lambda name, folder: folder)
    assert measure(2, 1, ["codec", "/predict"], ["/predict, a, b"]) == {"/predict, a, b": [1.0, 1.0]}
    assert [order.parts for order in orders] == [["/predict"]] * 2


def said(before: Ratios, now: Ratios, made: dict[str, Any], foreign: bool = False) -> str:
    """Return what the gate says below its table."""
    tolerance = FOREIGN_TOLERANCE if foreign else 0.1
    return summary(compare_all(before, now, tolerance, foreign), Baseline(made, before), HERE, Path("x.json"))


def test_the_last_lines_name_what_regressed_and_what_is_in_doubt() -> None:
    before = {name: noisy(seed) for seed, name in enumerate("abc")}
    now = {"a": noisy(3), "b": noisy(4, 1.1), "c": noisy(5, 1.2)}
    assert said(before, now, HERE) == "1 regressed: c\n1 no evidence: b"
    assert said(before, {"a": noisy(3)}, HERE) == "nothing is slower by more than 10%, with 95 % confidence"


def test_another_machine_and_other_yardsticks_are_said() -> None:
    made = {**THERE, "versions": {"onnxruntime": "1.31.0"}}
    lines = said({"a": noisy(0)}, {"a": noisy(1)}, made, foreign=True).splitlines()
    assert lines[0] == "1 no evidence"
    assert lines[1].startswith("another machine made the baseline")
    assert lines[1].endswith("only more than 2 times the time counts")
    assert lines[2:4] == [f"  there: {THERE['identity']}", f"  here:  {HERE['identity']}"]
    assert lines[-2:] == [
        "the baseline's yardsticks were others: onnxruntime 1.31.0 there, 1.32.0 here",
        "the baseline's yardsticks were others: numpy - there, 2.4.6 here",
    ]


def test_the_table_ends_with_the_worst() -> None:
    changes = compare_all({"a": noisy(0), "b": noisy(1)}, {"a": noisy(2, 1.2), "b": noisy(3), "c": noisy(4)}, 0.1)
    lines = render(changes).splitlines()
    assert [line.split()[0] for line in lines] == ["work", "c", "b", "a"]
    assert lines[-1].endswith("regressed")
    assert render([Change("x", 1.0, 1.2, 1.2, 1.15, 1.25, 0.1)]).splitlines()[1].split() == (
        ["x", "1", "1.2", "1.20", "1.15", "to", "1.25", "regressed"]
    )


@pytest.mark.parametrize("calls", [1, 4, 7, 8, 1000])
@pytest.mark.parametrize("factor", [1.0, 1.05, 1.2, 2.5])
def test_slower_work_is_done_more_often(calls: int, factor: float) -> None:
    counted, made = slowed(calls, factor)
    assert calls <= counted < calls + 100
    assert made / counted == pytest.approx(factor, abs=0.01)


def test_work_that_is_not_slowed_is_done_as_often_as_it_counts() -> None:
    assert slowed(7, 1.0) == (7, 7)


def test_the_committed_baseline_knows_kernels_and_predictor() -> None:
    baseline = load(Path(__file__).parents[2] / "bench" / "results" / "baseline.json", "any")
    assert {"identity", "processor", "date", "command", "versions"} <= baseline.made.keys()
    assert {name.partition(",")[0] for name in baseline.ratios} == {
        "features",
        "predictor",
        "codec",
        "/predict",
        "batch",
    }
    assert {len(processes) for processes in baseline.ratios.values()} == {12}


@pytest.mark.parametrize("asked", [{"only": ["nothing"]}, {"slow": {"nothing": 1.2}}])
def test_work_that_nobody_knows_is_refused(asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.gate.model_file", lambda name, folder: None)
    monkeypatch.setattr("bench.gate._run", lambda order: {"known": 1.0})
    with pytest.raises(MeasureError, match="expected names of codec work, got 'nothing'"):
        measure(1, 1, ("codec",), **asked)
    assert measure(1, 1, ("codec",), ["known"]) == {"known": [1.0]}


@pytest.mark.parametrize("slow", ["a", "=2", "a=nan", "a=inf", "a=0", "a=-1", "a=0.5", "a=101"])
def test_a_factor_that_slows_nothing_is_wrong_usage(slow: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        tickline.main(["bench", "check", "--slow", slow])
    assert ended.value.code == 2
    assert f"expected NAME=FACTOR, a factor from 1 to 100, got '{slow}'" in capsys.readouterr().err
