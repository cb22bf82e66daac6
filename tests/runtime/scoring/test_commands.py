"""Whole jobs by the command: every layout gives the rows of the slow twin, and no row is lost."""

import csv
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tickline
from features_fast import FEATURE_NAMES
from runtime.scoring import plan, reading, scored
from tests.runtime.conftest import THREE_CLASSES, random_rows
from tests.runtime.scoring.twin import bars, command, expected, predictor, read_scores, write_parquet

Layout = Callable[[pd.DataFrame, Path], list[tuple[str, list[int]]]]
"""Writes a table and returns, by file, the places of its rows in the table."""


def _parquet(table: pd.DataFrame, root: Path) -> list[tuple[str, list[int]]]:
    write_parquet(table, root / "bars.parquet", 700)
    return [("bars.parquet", list(range(len(table))))]


def _csv(table: pd.DataFrame, root: Path) -> list[tuple[str, list[int]]]:
    root.mkdir()
    table.to_csv(root / "bars.csv", index=False)
    return [("bars.csv", list(range(len(table))))]


def _by_ticker(table: pd.DataFrame, root: Path) -> list[tuple[str, list[int]]]:
    files = []
    for ticker, rows in table.groupby("Ticker"):
        for number, part in enumerate((rows.iloc[:300], rows.iloc[300:])):
            path = f"ticker={ticker}/part-{number}.parquet"
            write_parquet(part.drop(columns="Ticker"), root / path, 128)
            files.append((path, part.index.tolist()))
    return files


def _by_month(table: pd.DataFrame, root: Path) -> list[tuple[str, list[int]]]:
    files = []
    for (year, month), rows in table.groupby([table["Date"].dt.year, table["Date"].dt.month]):
        path = f"year={year}/month={month}/bars.csv"
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        rows.rename(columns={"Date": "time", "Ticker": "SYMBOL", "Open": "o"}).to_csv(root / path, index=False)
        files.append((path, rows.index.tolist()))
    return files


LAYOUTS: dict[str, Layout] = {"parquet": _parquet, "csv": _csv, "by ticker": _by_ticker, "by month": _by_month}
ORDERS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "tickers": lambda table: table,
    "dates": lambda table: table.sort_values(["Date", "Ticker"], ignore_index=True),
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut everything small, so that little data crosses every border."""
    monkeypatch.setattr(plan, "CSV_BYTES", 20_000)
    monkeypatch.setattr(reading, "BLOCK_ROWS", 500)
    monkeypatch.setattr(scored, "BUFFER_ROWS", 192)


def first_row(path: str) -> int:
    return 2 if path.endswith(".csv") else 1


def check(
    folder: Path, table: pd.DataFrame, files: list[tuple[str, list[int]]], model: Path, code: int
) -> dict[str, Any]:
    """Hold a finished job against the slow twin; return its manifest."""
    scores, warm_up, bad = expected(table, predictor(model))
    keys = {place: (path, first_row(path) + row) for path, places in files for row, place in enumerate(places)}
    assert read_scores(folder) == {keys[place]: found for place, found in scores.items()}
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    assert manifest["rows"] == {
        "read": len(table),
        "scored": len(scores),
        "warm_up": len(warm_up),
        "errors": len(bad),
    }
    with (folder / "errors.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted((row["file"], int(row["row"])) for row in rows) == sorted(keys[place] for place in bad)
    for written in [*manifest["scores"], manifest["errors"]]:
        content = (folder / written["path"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (written["bytes"], written["sha256"])
    assert code == (3 if bad else 0)
    assert sorted(path.name for path in folder.iterdir()) == ["errors.csv", "manifest.json", "scores"]
    return manifest


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_bars_of_any_layout(layout: str, order: str, forest_path: Path, tmp_path: Path) -> None:
    table = ORDERS[order](bars(6, 450))
    files = LAYOUTS[layout](table, tmp_path / "in")
    out = tmp_path / "out"
    code = tickline.main(command(tmp_path / "in", out, "--model-path", forest_path, "--part-rows", 1000))
    manifest = check(out, table, files, forest_path, code)
    assert len(manifest["scores"]) > 1


@pytest.mark.parametrize("layout", ["parquet", "by month"])
def test_scores_as_csv_are_those_of_parquet(
    layout: str, forest_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    LAYOUTS[layout](bars(3, 300), tmp_path / "in")
    arguments = ("--model-path", forest_path, "--part-rows", 1000)
    for form in ("parquet", "csv"):
        out = tmp_path / form
        assert tickline.main(command(tmp_path / "in", out, *arguments, "--format", form)) == 0
    manifest = json.loads((out / "manifest.json").read_text())
    tables = []
    for written in manifest["scores"]:
        content = (out / written["path"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (written["bytes"], written["sha256"])
        tables.append(pd.read_csv(out / written["path"], parse_dates=["Date"]))
        assert len(tables[-1]) == written["rows"]
    expected = pd.read_parquet(tmp_path / "parquet" / "scores")
    found = pd.concat(tables, ignore_index=True)
    probabilities = [str(name) for name in expected if str(name).startswith("probability")]
    np.testing.assert_array_equal(found[probabilities].astype(np.float32), expected[probabilities])
    for name in expected.columns.difference(probabilities):
        assert found[name].tolist() == expected[name].tolist()
    assert tickline.main(command(tmp_path / "in", out, *arguments)) == 1
    assert "--format" in capsys.readouterr().err


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("layout", ["parquet", "csv"])
def test_bad_rows_are_told_and_the_series_goes_on(layout: str, order: str, forest_path: Path, tmp_path: Path) -> None:
    table = ORDERS[order](bars(5, 400))
    random = np.random.default_rng(1)
    for column, value in (
        *(("Close", value) for value in (-1.0, 0.0, np.nan, np.inf, 1e19)),
        *(("Volume", value) for value in (-1.0, np.nan)),
        ("High", 1e-3),
        ("Ticker", None),
        ("Date", pd.NaT),
        ("Date", pd.Timestamp("2015-01-01")),
    ):
        for row in random.integers(0, len(table), 5):
            table.loc[row, column] = value
    table.loc[0, "Open"] = np.nan  # the first bar of all
    files = LAYOUTS[layout](table, tmp_path / "in")
    out = tmp_path / "out"
    code = tickline.main(command(tmp_path / "in", out, "--model-path", forest_path, "--part-rows", 1000))
    manifest = check(out, table, files, forest_path, code)
    assert manifest["rows"]["errors"] > 40


def test_reasons_name_column_value_and_what_was_expected(
    forest_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = bars(1, 60).assign(Ticker="A").to_csv(index=False).splitlines()
    day, _, rest = lines[1].partition(",")
    lines[1:1] = [
        f"someday,{rest}",
        f'"{day}",A,1,2,1,x y,5',
        f"{day},A,1,2,1,,5",
        f"{day},,1,2,1,1,5",
        f"{day},A,1,2,3,1,5",
        f"{day},A,1,2",
        "",
        f'{day},"A\nB",1,2,0,1,5',
    ]
    lines.insert(20, lines[15])
    path = tmp_path / "bars.csv"
    path.write_text("\n".join(lines))
    code = tickline.main(command(path, tmp_path / "out", "--model-path", forest_path))
    assert code == 3
    with (tmp_path / "out" / "errors.csv").open(newline="") as file:
        found = {int(row["row"]): row["reason"] for row in csv.DictReader(file)}
    date = lines[15].partition(",")[0]
    assert found == {
        2: "Date: expected an ISO 8601 date such as 2026-01-15, got 'someday'",
        3: "Close: expected a number, got 'x y'",
        4: "Close: expected a number, got an empty cell",
        5: "Ticker: expected a name, got an empty cell",
        6: "High: must not be below low 3.0, not 2.0",
        7: "expected 7 cells as in the header, got 4",
        10: "Low: must be a positive finite number, not 0.0",
        22: f"Date: expected one after {pd.Timestamp(lines[20 - 1].partition(',')[0])}, the ticker's bar before, "
        f"got {pd.Timestamp(date)}",
    }
    said = capsys.readouterr().out
    assert "errors   8 rows" in said


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_features_of_any_model(suffix: str, three_class_path: Path, tmp_path: Path) -> None:
    names = ("ĝ", "F%", "a", "d.E", "b_c")  # spelled otherwise, and in another order
    rows = random_rows(2500, 5, seed=3)[:, [4, 3, 0, 2, 1]].astype(np.float64)
    rows[7, 2], rows[1203, 0] = np.nan, 1e39
    table = pd.DataFrame(rows, columns=names).assign(note="x", when="2026-01-15")
    path = tmp_path / f"rows{suffix}"
    if suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        write_parquet(table, path, 300)
    out = tmp_path / "out"
    assert tickline.main(command(path, out, "--model-path", three_class_path, "--part-rows", 1000)) == 3
    scores = read_scores(out)
    good = np.delete(np.arange(2500), [7, 1203])
    answers = predictor(three_class_path).predict(rows[good][:, [2, 4, 3, 1, 0]].astype(np.float32))
    assert scores == {
        (path.name, row + first_row(path.name)): answer
        for row, answer in zip(good.tolist(), answers.tolist(), strict=True)
    }
    first = pd.read_parquet(sorted((out / "scores").iterdir())[0])
    assert [name.removeprefix("probability_") for name in first.columns[-3:]] == list(THREE_CLASSES)
    with (out / "errors.csv").open(newline="", encoding="utf-8") as file:
        reasons = [row["reason"] for row in csv.DictReader(file)]
    assert reasons == [
        "a: expected a finite float32 number, got an empty cell",
        "ĝ: expected a finite float32 number, got '1e+39'",
    ]


def test_features_carry_date_and_ticker(forest_path: Path, tmp_path: Path) -> None:
    table = pd.DataFrame(random_rows(100, 22, seed=1), columns=list(FEATURE_NAMES))
    table["Date"], table["Ticker"] = pd.date_range("2020-01-01", periods=100), ["A", "B"] * 50
    write_parquet(table, tmp_path / "rows.parquet", 40)
    assert tickline.main(command(tmp_path / "rows.parquet", tmp_path / "out", "--model-path", forest_path)) == 0
    found = pd.read_parquet(tmp_path / "out" / "scores").sort_values("row", ignore_index=True)
    assert (found["Date"] == table["Date"]).all()
    assert (found["Ticker"].astype(str) == table["Ticker"]).all()


@pytest.mark.parametrize("name", ["bars.parquet", "foreign.csv"])
def test_a_killed_job_goes_on_without_loss_or_repetition(
    name: str, forest_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the process that is killed cuts as users have it, but CSV
    monkeypatch.setattr(plan, "CSV_BYTES", 150_000)
    table = bars(40, 2000).sort_values(["Date", "Ticker"], ignore_index=True)  # one chain, whose series go on
    table.loc[[5, 40_000], "Close"] = np.nan
    given = tmp_path / name
    if name == "bars.parquet":
        write_parquet(table, given, 4000)
    else:
        table[::-1].to_csv(given, sep=";", decimal=",", float_format="%.4f", date_format="%d.%m.%Y", index=False)
    whole, out = tmp_path / "whole", tmp_path / "out"
    options = ["--model-path", forest_path, "--part-rows", 1000]
    assert tickline.main(command(given, whole, *options)) == 3

    code = f"from runtime.scoring import plan; import sys, tickline; plan.CSV_BYTES = {plan.CSV_BYTES}; "
    code += "sys.exit(tickline.main(sys.argv[1:]))"
    arguments = [sys.executable, "-c", code, *command(given, out, *options)]
    kept: dict[Path, int] = {}
    for _ in range(2):
        killed = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
        while len(records := list((out / ".job").glob("part-*.json"))) <= len(kept):
            assert killed.poll() is None
        killed.send_signal(signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
        assert not (out / "manifest.json").exists()
        done = [out / "scores" / f"{path.stem}.parquet" for path in records]
        assert {path: path.stat().st_mtime_ns for path in kept} == kept
        kept = {path: path.stat().st_mtime_ns for path in done}

    assert tickline.main(command(given, out, *options)) == 3
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    found, once = (
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (out, whole)
    )
    assert found == once


def test_a_job_that_is_done_is_not_done_again(
    forest_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = bars(2, 100)
    write_parquet(table, tmp_path / "bars.parquet", 400)
    arguments = command(tmp_path / "bars.parquet", tmp_path / "out", "--model-path", forest_path, "--json")
    assert tickline.main(arguments) == 0
    first = capsys.readouterr().out
    (written,) = (tmp_path / "out" / "scores").iterdir()
    before = written.stat().st_mtime_ns
    assert tickline.main(arguments) == 0
    assert (capsys.readouterr().out, written.stat().st_mtime_ns) == (first, before)
    write_parquet(table[:90], tmp_path / "bars.parquet", 400)
    assert tickline.main(arguments) == 1
    assert "another job" in capsys.readouterr().err
    assert tickline.main([*arguments, "--restart"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]["read"] == 90


def _use(folder: Path) -> int:
    import fcntl

    folder.mkdir()
    (folder / ".job").mkdir()
    number = os.open(folder, os.O_RDONLY)
    fcntl.flock(number, fcntl.LOCK_EX)
    return number


def test_what_is_refused(
    forest_path: Path, three_class_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = tmp_path / "bars.parquet"
    write_parquet(bars(2, 100), good, 400)
    (tmp_path / "text.parquet").write_text("no Parquet")
    (tmp_path / "short.csv").write_text("date,open,high,low,close\n2026-01-15,1,1,1,1\n")
    pd.DataFrame(np.ones((3, 21)), columns=list(FEATURE_NAMES[1:])).to_csv(tmp_path / "some.csv", index=False)
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "a.csv.gz").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    lock = _use(tmp_path / "used")
    try:
        for given, out, model, message in (
            (tmp_path / "none", "out", forest_path, "expected a file or a folder, found neither"),
            (tmp_path / "text.parquet", "out", forest_path, "text.parquet: expected a Parquet file"),
            (tmp_path / "short.csv", "out", forest_path, "short.csv: expected a column for Volume, got 'date'"),
            (tmp_path / "some.csv", "out", forest_path, "a column for each of 22 features, got none for 'SMA_5'"),
            (tmp_path / "mixed", "out", forest_path, "a.csv.gz: expected a file that ends in .parquet or .csv"),
            (tmp_path / "empty", "out", forest_path, "expected files that end in .parquet or .csv, found none"),
            (good, "out", three_class_path, "expected the model's features, got bars: the model does not say"),
            (good, "full", forest_path, "expected a new folder or that of a job, got one with other files"),
            (good, "used", forest_path, "another process works on this job"),
        ):
            assert tickline.main(command(given, tmp_path / out, "--model-path", model)) == 1
            lines = capsys.readouterr().err.splitlines()
            assert len(lines) == 1
            assert message in lines[0]
    finally:
        os.close(lock)
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"


def test_an_interrupted_job_of_other_input_is_refused(
    forest_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = tmp_path / "bars.parquet"
    write_parquet(bars(3, 900), good, 400)
    options = ["--model-path", forest_path, "--part-rows", 1000]

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("runtime.scoring.job.Job.finish", stop)
        assert tickline.main(command(good, tmp_path / "out", *options)) == 130
    assert tickline.main(command(good, tmp_path / "out", *options[:3], 2000)) == 1
    assert "got another --part-rows; take another folder, or --restart" in capsys.readouterr().err
    write_parquet(bars(3, 900, seed=1), good, 400)
    assert tickline.main(command(good, tmp_path / "out", *options)) == 1
    assert "got another state of the input's files" in capsys.readouterr().err


def test_a_file_that_is_not_there_yet_is_not_taken_for_another_process(
    forest_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = tmp_path / "bars.parquet"
    write_parquet(bars(1, 60), good, 400)

    def stall(*_: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable", str(good))

    monkeypatch.setattr("runtime.scoring.job.Job.finish", stall)
    assert tickline.main(command(good, tmp_path / "out", "--model-path", forest_path)) == 1
    assert capsys.readouterr().err.endswith(f"tickline: {good}: Resource temporarily unavailable\n")


@pytest.mark.parametrize("rows", ["0", "many", "999"])
def test_too_small_parts_are_bad_usage(rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        tickline.main(command("in", "out", "--part-rows", rows))
    assert ended.value.code == 2
    assert "expected a number of rows, 1000 or more" in capsys.readouterr().err


@pytest.mark.parametrize(("missing", "engine"), [("pyarrow", "local"), ("ray", "ray")])
def test_it_says_what_to_install(missing: str, engine: str) -> None:
    arguments = ["score", "in", "out", "--engine", engine]
    code = f"import sys, tickline; sys.modules[{missing!r}] = None; sys.exit(tickline.main({arguments}))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 1
    extra = {"pyarrow": "score"}.get(missing, missing)
    assert ended.stderr == f"tickline: {missing} is not installed: pip install 'tickline[{extra}]'\n"


@pytest.mark.parametrize("option", ["--workers 2", "--ray-address auto", "--engine ray --workers 0"])
def test_options_of_ray_are_for_ray(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        tickline.main(command("in", "out", *option.split()))
    assert ended.value.code == 2
    assert "expected" in capsys.readouterr().err
