"""CSV files as banks, brokers and spreadsheets write them: the scores are those of the same bars in plain form."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tickline
from features_fast.errors import TicklineError
from runtime.scoring import form, plan
from runtime.scoring.form import Form
from runtime.scoring.sources import read_sources
from tests.foreign_files import FORMS, german
from tests.runtime.conftest import random_rows
from tests.runtime.scoring.twin import bars, command, read_scores, write_parquet
from training.reader import read_bars

HEADER = "Date,Open,High,Low,Close,Volume"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut files small, so that little data crosses every border."""
    monkeypatch.setattr(plan, "CSV_BYTES", 7000)


def history(length: int = 300, seed: int = 0) -> pd.DataFrame:
    """Return bars of one ticker, whose thousands are marked in some forms."""
    table = bars(2, length, seed).query("Ticker == 'T000'").assign(Ticker="X")
    table[["Open", "High", "Low", "Close"]] += 950
    return table.round({"Open": 2, "High": 2, "Low": 2, "Close": 2})


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def form_of(folder: Path, text: str) -> Form:
    _, (source,) = read_sources(written(folder / "bars.csv", text), ["x"])
    return source.form


def score(given: Path, out: Path, model: Path, status: int = 0) -> Any:
    """Score an input; return probabilities by file and date, in the order in which they were written."""
    options = ["--model-path", model, "--part-rows", 1000, "--restart"]
    assert tickline.main(command(given, out, *options)) == status
    return pd.concat(map(pd.read_parquet, sorted((out / "scores").iterdir())), ignore_index=True)


def reasons(out: Path) -> dict[int, str]:
    with (out / "errors.csv").open(newline="") as file:
        return {int(row["row"]): row["reason"] for row in csv.DictReader(file)}


@pytest.mark.parametrize("written_by", FORMS, ids=lambda written_by: written_by.__name__)
def test_scores_are_those_of_the_plain_form(
    written_by: Callable[[pd.DataFrame], str], forest_path: Path, tmp_path: Path
) -> None:
    path = written(tmp_path / "X.csv", written_by(history()))
    read_bars(path).to_csv(tmp_path / "plain.csv", index=False)
    empty = written_by.__name__ == "yahoo"
    found = score(path, tmp_path / "out", forest_path, status=3 if empty else 0)
    expected = score(tmp_path / "plain.csv", tmp_path / "expected", forest_path)
    assert len(found) == 300 - 49
    same = ["Date", "Ticker", "prediction", "probability"]
    pd.testing.assert_frame_equal(found[same], expected[same])
    assert reasons(tmp_path / "out") == ({302: "Open: expected a number, got 'null'"} if empty else {})
    # A row is the line of the file on which its date stands.
    lines = path.read_text("utf-8-sig").splitlines()
    first = {"yfinance": 4, "headless": 1, "german_headless": 1}.get(written_by.__name__, 2)
    falling = written_by.__name__ in ("nasdaq", "investing")
    days = history()["Date"].tolist()
    by_line = dict(enumerate(days[::-1] if falling else days, first))
    assert [by_line[row] for row in found["row"]] == found["Date"].tolist()
    assert len(lines) >= first - 1 + 300


@pytest.mark.parametrize("by", ["Ticker", "Date"])
def test_tickers_that_fall_in_date_are_read_from_the_end(by: str, forest_path: Path, tmp_path: Path) -> None:
    table = bars(4, 200)
    rising = table.sort_values([by, "Date"], kind="stable", ignore_index=True)
    falling = table.sort_values([by, "Date"], ascending=[by == "Ticker", False], kind="stable", ignore_index=True)
    for name, given in (("rising", rising), ("falling", falling)):
        given.to_csv(written(tmp_path / name / "bars.csv", ""), index=False)
        score(tmp_path / name, tmp_path / f"out-{name}", forest_path)
    lines = {
        name: {(row.Ticker, row.Date): place + 2 for place, row in enumerate(given.itertuples())}
        for name, given in (("rising", rising), ("falling", falling))
    }
    expected = read_scores(tmp_path / "out-rising")
    moved = {lines["rising"][key]: lines["falling"][key] for key in lines["rising"]}
    assert read_scores(tmp_path / "out-falling") == {
        (file, moved[row]): probabilities for (file, row), probabilities in expected.items()
    }


def test_files_of_a_folder_have_forms_of_their_own(forest_path: Path, tmp_path: Path) -> None:
    expected = {}
    for number, written_by in enumerate(FORMS[2:]):
        table = history(seed=number)
        name = f"{written_by.__name__}.csv"
        written(tmp_path / "in" / name, written_by(table))
        read_bars(tmp_path / "in" / name).to_csv(tmp_path / "plain.csv", index=False)
        expected[name] = score(tmp_path / "plain.csv", tmp_path / "one", forest_path)["probability"].tolist()
    table = history(seed=7).drop(columns="Ticker")
    write_parquet(table, tmp_path / "in" / "Z.parquet", 400)
    table.to_csv(tmp_path / "plain.csv", index=False)
    expected["Z.parquet"] = score(tmp_path / "plain.csv", tmp_path / "one", forest_path)["probability"].tolist()
    found = score(tmp_path / "in", tmp_path / "out", forest_path)
    assert {str(file): rows["probability"].tolist() for file, rows in found.groupby("file", observed=True)} == expected


def test_bad_rows_of_a_foreign_file_are_told_by_their_lines(forest_path: Path, tmp_path: Path) -> None:
    lines = german(history()).splitlines()
    good = written(tmp_path / "good.csv", "\n".join(lines))
    day = lines[10].partition(";")[0]
    bad = [
        *lines[:10],
        "soon;1,0;2,0;1,0;1,0;5",
        f"{day};1.0;2,0;1,0;1,0;5",
        f"{day};;2,0;1,0;1,0;5",
        f"{day};1,0;2,0;1,0",
        f"{day};1,0;2,0;3,0;1,0;5",
        ";;;;;",
        "",
        *lines[10:20],
        lines[12],
        *lines[20:],
    ]
    path = written(tmp_path / "bad.csv", "\n".join(bad))
    found = score(path, tmp_path / "out", forest_path, status=3)
    assert found["probability"].tolist() == score(good, tmp_path / "good", forest_path)["probability"].tolist()
    days = [pd.to_datetime(lines[row].partition(";")[0], format="%d.%m.%Y") for row in (19, 12)]
    assert reasons(tmp_path / "out") == {
        11: "Date: expected a date like the others, %d.%m.%Y, got 'soon'",
        12: "Open: expected a number, got '1.0'",
        13: "Open: expected a number, got an empty cell",
        14: "expected 6 cells as in the header, got 4",
        15: "High: must not be below low 3.0, not 2.0",
        28: f"Date: expected one after {days[0]}, the ticker's bar before, got {days[1]}",
    }


def test_plain_files_may_have_foreign_numbers(forest_path: Path, tmp_path: Path) -> None:
    table = history()
    plain = written(tmp_path / "plain" / "X.csv", table.to_csv(index=False))
    cells = table.assign(
        Open=table["Open"].map("${:,.2f}".format), Volume=table["Volume"].map(lambda volume: f"{volume / 1e3}K")
    )
    foreign = written(tmp_path / "foreign" / "X.csv", cells.to_csv(index=False))
    assert score(foreign, tmp_path / "out", forest_path).equals(score(plain, tmp_path / "expected", forest_path))


def test_features_may_have_decimal_commas(three_class_path: Path, tmp_path: Path) -> None:
    rows = pd.DataFrame(random_rows(300, 5, seed=3), columns=["a", "b_c", "d.E", "F%", "ĝ"]).astype(np.float64)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    expected = score(tmp_path / "rows.csv", tmp_path / "expected", three_class_path)
    rows.to_csv(tmp_path / "rows.csv", index=False, sep=";", decimal=",")
    assert score(tmp_path / "rows.csv", tmp_path / "out", three_class_path).equals(expected)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            f"{HEADER}\n01/02/2026,1,1,1,1,1\n01/03/2026,1,1,1,1,1\n",
            "column Date: expected dates that tell day from month, such as 2026-01-15, got '01/02/2026'",
        ),
        (
            f"{HEADER}\n13/02/2026,1,1,1,1,1\n01/14/2026,1,1,1,1,1\n",
            "column Date: expected dates of one form as '13/02/2026' has, got '01/14/2026'",
        ),
        (
            f"{HEADER.replace(',', ';')}\n2026-01-15;1,234;1,234;1,234;1,234;1\n",
            "expected a decimal mark that can be told from one of thousands, got '1,234'",
        ),
        (
            "Price,Close,Close,Open\nTicker,A,B,A\nDate,,,\n2026-01-15,1,1,1\n",
            "expected a column for High, got 'Date', 'Close'",
        ),
        ("Datum;Kurs\n15.01.2026;1,5\n", "expected a column for Date, got 'Datum', 'Kurs'"),
    ],
)
def test_what_may_mean_two_things_is_refused_before_the_job(
    text: str, fault: str, forest_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "bars.csv", text)
    assert tickline.main(command(path, tmp_path / "out", "--model-path", forest_path)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tickline: {path}: {fault}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["2026-01-15,1,1,1,1,1\n01/02/2026,$1,1,1,1,1"], Form()),
        (["soon,1,1,1,1,1"], Form()),
        (["2026-01-15,x"], Form()),
        ([""], Form()),
        (["20260115,1,1,1,1,1", "20260116,1,1,1,1,1"], Form()),
        (["2026-01-15,1,1,1,1,1", "2026-01-14,1,1,1,1,1"], Form(newest_first=True)),
        (["1768435200,1,1,1,1,1", "soon,1,1,1,1,1"], Form(dates="seconds")),
        (["Jan 15 2026,1,1,1,1,1"], Form()),
        (["15-Jan-2026,1,1,1,1,1", "14-Jan-2026,1,1,1,1,1"], Form(dates="%d-%b-%Y", newest_first=True)),
    ],
)
def test_forms(lines: list[str], expected: Form, tmp_path: Path) -> None:
    assert form_of(tmp_path, "\n".join([HEADER, *lines]) + "\n") == expected


def test_other_bytes_than_utf8_are_told_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_bytes(f"{HEADER}\n\xff,1,1,1,1,1\n".encode("latin-1"))
    assert read_sources(path, ["x"])[1][0].form == Form()
    path.write_bytes(f"\xff{HEADER}\n".encode("latin-1"))
    with pytest.raises(TicklineError, match=r"bars\.csv: expected a header of CSV in UTF-8"):
        read_sources(path, ["x"])


def test_a_form_is_looked_for_where_it_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form, "_BEGINNING", 3)
    many = "".join(f"2026-01-15,{number},1,1,1,1,1\n" for number in range(5))
    header = HEADER.replace("Date", "Date,Ticker")
    assert form_of(tmp_path, f"{header}\n{many}{many.replace('15', '14')}").newest_first
    assert not form_of(tmp_path, f"{header}\n{many}{many.replace('15', '16')}").newest_first
    wrong = "1999-01-04,0,1,1,1,1,1\n"
    assert not form_of(tmp_path, f"{header}\n{many}{many.replace('15', '16')}{wrong}").newest_first
    first, rest = many[: many.index("\n") + 1], many.replace("15", "16") + many.replace("15", "17")
    assert not form_of(tmp_path, f"{header}\n{first}{wrong}{rest[len(first) :]}").newest_first
    either = "01/02/2026,1,1,1,1,1\n" * 5
    assert form_of(tmp_path, f"{HEADER}\n{either}01/15/2026,1,1,1,1,1\n").dates == "%m/%d/%Y"
    commas = "2026-01-15;1,234;1,234;1,234;1,234;1\n" * 5
    assert form_of(tmp_path, f"{HEADER.replace(',', ';')}\n{commas}2026-01-16;1,5;2;1;1;1\n").decimal_comma
