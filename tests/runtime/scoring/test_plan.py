"""Cuts: every row belongs to one chain, and no cut is inside a line."""

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features_fast.errors import TicklineError
from runtime.scoring import plan
from runtime.scoring.plan import make_chains
from runtime.scoring.reading import read_blocks
from runtime.scoring.sources import BARS, FEATURES, Source, read_sources
from tests.runtime.scoring.twin import write_parquet

CELL = st.text(st.sampled_from('ab"\n,é'), max_size=6)


def _bars(tickers: list[str | None]) -> pd.DataFrame:
    table = pd.DataFrame({"Date": "2026-01-15", "Ticker": pd.Series(tickers, dtype=object)})
    return table.assign(Open=1.0, High=1.0, Low=1.0, Close=1.0, Volume=1.0)


@settings(max_examples=60, deadline=None)
@given(
    tickers=st.lists(st.one_of(st.none(), st.sampled_from("ABCDEFGH")), min_size=1, max_size=60),
    ordered=st.booleans(),
    group=st.integers(1, 12),
    part_rows=st.integers(1, 20),
)
def test_every_row_belongs_to_one_chain(
    tickers: list[str | None], ordered: bool, group: int, part_rows: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("plan")
    if ordered:
        tickers = sorted(tickers, key=lambda ticker: ticker or "D")
    write_parquet(_bars(tickers), folder / "bars.parquet", group)
    kind, (source,) = read_sources(folder, ["x"])
    assert kind == BARS
    chains = make_chains(folder, kind, [source], part_rows)
    found = []
    for number, chain in enumerate(chains):
        rows = []
        for part in chain.parts:
            for piece in part.slices:
                for block in read_blocks(folder / source.path, source, piece, chain, parallel=False):
                    names = block.tickers.to_pylist()
                    rows += [
                        (int(row), names[code] if code >= 0 else None, number)
                        for row, code in zip(block.rows, block.codes, strict=True)
                    ]
        assert rows == sorted(rows)
        found += rows
    assert sorted(row for row, _, _ in found) == list(range(1, len(tickers) + 1))
    assert all(ticker == tickers[row - 1] for row, ticker, _ in found)
    of_ticker: dict[str, set[int]] = {}
    for _, ticker, number in found:
        if ticker:
            of_ticker.setdefault(ticker, set()).add(number)
    assert all(len(numbers) == 1 for numbers in of_ticker.values())


def test_sorted_tickers_are_cut_between_row_groups(tmp_path: Path) -> None:
    write_parquet(_bars([f"T{row // 7:02d}" for row in range(210)]), tmp_path / "bars.parquet", 20)
    kind, sources = read_sources(tmp_path, ["x"])
    chains = make_chains(tmp_path, kind, sources, 20)
    assert len(chains) > 8
    read = sum(piece.rows for chain in chains for part in chain.parts for piece in part.slices)
    assert read < 2.1 * 210


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(st.tuples(CELL, CELL), max_size=40), size=st.integers(1, 50), ends=st.booleans())
def test_lines_are_cut_outside_quotes(
    rows: list[tuple[str, str]], size: int, ends: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([("x", "y"), *rows])
    content = text.getvalue() if ends else text.getvalue().removesuffix("\n")
    path = tmp_path_factory.mktemp("plan") / "rows.csv"
    path.write_text(content, newline="")
    source = Source("rows.csv", 0, 0, ["x", "y"], {"x": "x", "y": "y"}, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "CSV_BYTES", size)
        chains = make_chains(path, FEATURES, [source], 3)
    found: list[tuple[int, str, str]] = []
    for chain in chains:
        for part in chain.parts:
            for piece in part.slices:
                for block in read_blocks(path, source, piece, chain, parallel=False):
                    assert not block.broken
                    cells = (block.columns[name].to_pylist() for name in ("x", "y"))
                    found += zip(block.rows.tolist(), *cells, strict=True)
    lines, expected = 2, []
    for x, y in rows:
        lines += x.count("\n") + y.count("\n")
        if x.strip() or y.strip():
            expected.append((lines, x, y))
        lines += 1
    assert found == expected
    # Where they were not told right, all lines of a slice would be read the slow way.
    assert sum(piece.rows for chain in chains for part in chain.parts for piece in part.slices) == lines - 2


def test_a_quote_that_is_never_closed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "CSV_BYTES", 10)
    monkeypatch.setattr(plan, "_MAX_CSV_BYTES", 80)
    path = tmp_path / "rows.csv"
    path.write_text("x\n1\n2\n" + '"5\n' + "6\n" * 100)
    source = Source("rows.csv", 0, 0, ["x"], {"x": "x"}, {})
    with pytest.raises(TicklineError, match=r"rows.csv: row 4: expected a quote to be closed within 80 bytes"):
        make_chains(path, FEATURES, [source], 3)


def test_files_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for month in (10, 2, 1):
        write_parquet(_bars(["A"]), tmp_path / f"year=2024/month={month}/x.parquet", 5)
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".crc").touch()
    _, sources = read_sources(tmp_path, ["x"])
    assert [source.path for source in sources] == [f"year=2024/month={month}/x.parquet" for month in (1, 2, 10)]


def test_paths_tell_what_files_lack(tmp_path: Path) -> None:
    write_parquet(_bars(["A"]).drop(columns=["Ticker", "Date"]), tmp_path / "Symbol=B%2FC/date=2026-01-15/x.parquet", 5)
    write_parquet(_bars(["A"]).drop(columns=["Ticker"]), tmp_path / "symbol=__HIVE_DEFAULT_PARTITION__/x.parquet", 5)
    write_parquet(_bars(["A"]).drop(columns=["Ticker"]), tmp_path / "y.parquet", 5)
    _, sources = read_sources(tmp_path, ["x"])
    assert {source.path: source.constants for source in sources} == {
        "Symbol=B%2FC/date=2026-01-15/x.parquet": {"Ticker": "B/C", "Date": "2026-01-15"},
        "symbol=__HIVE_DEFAULT_PARTITION__/x.parquet": {"Ticker": None},
        "y.parquet": {"Ticker": "y"},
    }
