"""Files that are read elsewhere and not by a job: refused before it begins, with the way out."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import tickline
from features_fast.errors import TicklineError
from runtime.scoring.foreign import refuse_foreign
from runtime.scoring.sources import read_header
from tests.bars import lists
from tests.foreign_files import FORMS

NAMES = ["Date", "Open", "High", "Low", "Close", "Volume"]
FAULTS = {
    "yfinance": "expected one line of column names, got 'Price', 'Close', 'High' and two more lines",
    "nasdaq": "column Date: expected ISO 8601 dates such as 2026-01-15, got '04/28/1999'",
    "investing": "column Date: expected ISO 8601 dates such as 2026-01-15, got '04/28/1999'",
    "german": "expected commas between cells, got 'DATE;OPEN;HIGH;LOW;CLOSE;VOLUME'",
    "exchange": r"expected commas between cells, got 'timestamp\tlow\thigh\topen\tclose\tvolume'",
}


def bars() -> pd.DataFrame:
    frame = pd.DataFrame(lists(0, 80), columns=NAMES)
    return frame.assign(Date=pd.to_datetime(frame["Date"]), Ticker="X")


def written(folder: Path, text: str) -> Path:
    path = folder / "bars.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_a_form_is_scored_or_refused_with_a_way_that_works(
    form: Callable[[pd.DataFrame], str],
    forest_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    score = ["scores", "--model-path", str(forest_path)]
    path = written(Path(), form(bars()))
    status = tickline.main(["score", str(path), *score])
    said = capsys.readouterr()
    if form.__name__ not in FAULTS:
        assert "scored 31 of" in said.out
        return
    assert status == 1
    fault, _, way = said.err.strip().partition("; `")
    assert fault == f"tickline: bars.csv: {FAULTS[form.__name__]}"
    assert tickline.main(shlex.split(way.partition("`")[0])[1:]) == 0
    assert tickline.main(["score", "features.csv", *score]) == 0
    assert "scored 31 of 31 rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("01/02/2026,1,1,1,1,1", "column Date"),
        ("1768435200,1,1,1,1,1", "column Date"),
        ('2026-01-15,"$1,234.5",1,1,1,1', "column Open: expected plain numbers such as 1234.5, got '$1,234.5'"),
        ("2026-01-15,1,1,1,1,45.2M", "column Volume"),
    ],
)
def test_what_no_row_has_plainly_is_refused(row: str, fault: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"{','.join(NAMES)}\n{row}\n")
    with pytest.raises(TicklineError) as caught:
        refuse_foreign(path, read_header(path))
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    "row", ["2026-01-15,1,1,1,1,1\n01/02/2026,$1,1,1,1,1", "soon,1,1,1,1,1", "2026-01-15,x", "", "\xff"]
)
def test_what_is_wrong_in_some_rows_is_left_to_those_who_tell_each(row: str, tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_bytes(f"{','.join(NAMES)}\n{row}\n".encode("latin-1"))
    refuse_foreign(path, read_header(path))


def test_a_long_file_is_known_by_its_beginning(tmp_path: Path) -> None:
    path = written(tmp_path, f"{','.join(NAMES)}\n" + "01/15/2026,1,1,1,1,1\n" * 10_000)
    with pytest.raises(TicklineError, match="column Date"):
        refuse_foreign(path, read_header(path))
