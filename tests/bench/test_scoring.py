"""The tables of scoring: those of the results beside them, made of files as they are said to be."""

import json
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from bench.scoring import BEGIN, CASES, END, LENGTHS, PAGE, RESULTS, render, write_bars


def test_the_tables_are_those_of_the_results() -> None:
    shown = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    assert shown == render(json.loads(RESULTS.read_text()))


def test_everything_was_measured() -> None:
    speed = json.loads(RESULTS.read_text())["speed"]
    assert [(one["length"], f".{one['format']}", one["model"], one["way"]) for one in speed] == [
        (length, *case) for length in LENGTHS for case in CASES
    ]
    assert all(one["ours"]["rows"] == one["theirs"]["rows"] for one in speed)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_bars_are_of_tickers_one_after_the_other(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"bars{suffix}"
    write_bars(path, 1000, 300)
    table = pq.read_table(path) if suffix == ".parquet" else pyarrow.csv.read_csv(path)
    tickers = table["Ticker"].to_pylist()
    assert tickers == [f"T{row // 300:06d}" for row in range(1000)]
    assert (
        table["Date"].to_pylist()[:300] == table["Date"].to_pylist()[300:600] == sorted(set(table["Date"].to_pylist()))
    )
