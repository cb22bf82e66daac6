"""`tickline predict` and `tickline explain`, as a person or a script calls them."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tickline
from features_fast import FEATURE_NAMES, compute
from runtime.artifact import CARD_KEY
from runtime.model import load_model
from tests.bars import arrays, lists
from tests.runtime.conftest import edited
from tests.serving import RunningServer, running_server

Capture = pytest.CaptureFixture[str]


def printed(capsys: Capture, *arguments: str) -> str:
    """Run a command that succeeds and return what it prints."""
    assert tickline.main(arguments) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def refused(capsys: Capture, *arguments: str) -> str:
    """Run a command that fails and return its one line."""
    assert tickline.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("tickline: ")
    assert error.count("\n") == 1
    return error


BARS = 60


@pytest.fixture(scope="module")
def roomy(forest_path: Path) -> Iterator[RunningServer]:
    """A server with the usual limits."""
    with running_server(forest_path) as running:
        yield running


@pytest.fixture
def bars_file(tmp_path: Path) -> Path:
    """Bars as a person's CSV file: with further columns, names in any case, a byte order mark."""
    lines = ["Date,Open,High,LOW,close,Adj Close,Volume"]
    for date, *prices, volume in lists(0, BARS):
        lines.append(",".join([date, *map(repr, prices), "1", repr(volume)]))
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return path


def test_a_row_on_a_file(forest_path: Path, capsys: Capture) -> None:
    where = ("--model-path", str(forest_path))
    row = json.dumps([0.5] * 22)
    reply = json.loads(printed(capsys, "predict", row, *where, "--json"))
    label, probability = reply["prediction_label"], reply["probability"]
    lines = printed(capsys, "predict", row, *where).splitlines()
    assert lines[0] == f"{label} with probability {probability:.4f}, model 1.0.0"
    assert [line.split()[0] for line in lines[3:]] == ["DOWN", "UP"]
    assert json.loads(printed(capsys, "predict", *where, "--json"))["model_version"] == "1.0.0"
    assert refused(capsys, "predict", "[1, 2]", *where) == "tickline: features: expected 22 numbers, got 2\n"


def test_a_row_on_standard_input(forest_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    row = dict.fromkeys(FEATURE_NAMES, 0.5)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(row).encode("utf-8-sig"))))
    found = json.loads(printed(capsys, "predict", "-", "--model-path", str(forest_path), "--json"))
    assert found["prediction_label"] in ("UP", "DOWN")


@pytest.mark.parametrize("form", ["npy", "csv"])
def test_a_file_of_rows_is_predicted_as_one_by_one(
    form: str, forest_path: Path, tmp_path: Path, capsys: Capture
) -> None:
    rows = np.random.default_rng(0).normal(size=(5, 22)).astype(np.float32)
    path = tmp_path / f"rows.{form}"
    if form == "npy":
        np.save(path, rows)
    else:
        text = [",".join(("Date", *FEATURE_NAMES)), *(",".join(["x", *map(repr, row)]) for row in rows.tolist())]
        path.write_text("\n".join(text))
    where = ("--model-path", str(forest_path))
    reply = json.loads(printed(capsys, "predict", str(path), *where, "--json"))
    alone = load_model(forest_path, 1)
    expected = [alone.predictor.predict(row[None])[0].tolist() for row in rows]
    assert [list(found["probabilities"].values()) for found in reply["predictions"]] == [
        pytest.approx(row, abs=1e-7) for row in expected
    ]
    lines = printed(capsys, "predict", str(path), *where).splitlines()
    assert lines[0] == "5 predictions, model 1.0.0"
    assert [line.split()[0] for line in lines[3:]] == list("01234")


def test_bars_on_a_file_and_on_a_server_are_the_same(
    bars_file: Path, forest_path: Path, roomy: RunningServer, capsys: Capture
) -> None:
    where, url = ("--model-path", str(forest_path)), ("--url", f"http://127.0.0.1:{roomy.port}/")
    expected = load_model(forest_path, 1).predictor.predict(compute(*arrays(0, BARS))[49:].astype(np.float32))
    for more in ([], ["--all"]):
        replies = []
        for place in (where, url):
            reply = json.loads(printed(capsys, "predict", str(bars_file), *more, *place, "--json"))
            assert reply.pop("timestamp")
            replies.append(reply)
        assert replies[0] == replies[1]
    found = [list(one["probabilities"].values()) for one in replies[0]["predictions"]]
    np.testing.assert_allclose(found, expected, atol=1e-7)
    text = printed(capsys, "predict", str(bars_file), *where)
    assert text.splitlines()[0].endswith(f"bar {lists(0, BARS)[-1][0]}")


def test_bars_of_two_tickers(forest_path: Path, tmp_path: Path, capsys: Capture) -> None:
    lines = ["symbol,open,high,low,close,volume"]
    for name, count in (("AAA", 60), ("BBB", 10)):
        lines += [",".join([name, *map(repr, bar[1:])]) for bar in lists(0, count)]
    path = tmp_path / "two.csv"
    path.write_text("\n".join(lines))
    text = printed(capsys, "predict", str(path), "--model-path", str(forest_path)).splitlines()
    assert text[0] == "1 prediction, 1 refused, model 1.0.0"
    assert text[3].split()[:2] == ["AAA", "59"]
    assert "expected at least 50 bars, got 10" in text[4]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("open,high,low,close,volume\n1,2,1,2,x\n", "line 2, column volume: expected a number, got 'x'"),
        ("open,high,low,close,volume\n1,2,1,2\n", "row 2: expected 5 cells as in the header, got 4"),
        ("open,high,low,close,volume\n", "expected a header and at least one line"),
        ("open,high,low,close,volume\n2,2,1,2,3\n", "given.csv: expected at least 50 bars, got 1"),
        ("SMA_5,SMA_10\n1,2\n", "given.csv, line 2, column SMA_20: this field is required and missing"),
        (
            ",".join(FEATURE_NAMES) + "\n\n" + ",".join(["1e300", *["1"] * 21]),
            "given.csv, line 3, column SMA_5: expected a finite number of float32's range, got 1e+300",
        ),
        ("SMA_5,SMA_10,SMA_5\n1,2,3\n", "expected each column once, got 'SMA_5' 2 times"),
        ("first,high,low,close,volume\n1,2,1,2,3\n", "; as bars: expected a column for Open, got 'first', "),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    content: str, fault: str, forest_path: Path, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "given.csv"
    path.write_text(content)
    assert fault in refused(capsys, "predict", str(path), "--model-path", str(forest_path))


def test_what_is_no_input_is_said(forest_path: Path, tmp_path: Path, capsys: Capture) -> None:
    where = ("--model-path", str(forest_path))
    assert "there is no file 'nothing.csv'" in refused(capsys, "predict", "nothing.csv", *where)
    assert "--all: expected bars" in refused(capsys, "predict", "--all", *where)
    np.save(tmp_path / "rows.npy", np.full((2, 22), np.nan))
    assert "got others in row 0" in refused(capsys, "predict", str(tmp_path / "rows.npy"), *where)
    assert "cannot be read" in refused(capsys, "predict", str(tmp_path), *where)


def test_a_bad_bar_is_named_by_its_line(
    forest_path: Path, roomy: RunningServer, tmp_path: Path, capsys: Capture
) -> None:
    bars = lists(0, BARS)
    bars[3][4] = -5.0
    lines = [",".join(map(str, bar)) for bar in reversed(bars)]
    path = tmp_path / "newest_first.csv"
    for head, more in (("", [""]), (",ticker", [",A", ",B"])):
        path.write_text(
            "\n".join([f"Date,Open,High,Low,close,Volume{head}", *(f"{x}{y}" for y in more for x in lines)])
        )
        for place in (("--model-path", str(forest_path)), ("--url", f"http://127.0.0.1:{roomy.port}")):
            error = refused(capsys, "predict", str(path), *place)
            assert f"{path}, line {BARS - 3 + 1}, column close: must be a positive finite number, not -5.0" in error
    path.write_text("\n".join(["Date,Open,High,Low,close,Volume", *lines]))
    assert f"line {BARS - 3 + 1}, column close" in refused(
        capsys, "explain", str(path), "--model-path", str(forest_path)
    )


def test_what_is_wrong_with_a_part_is_named_by_its_line_too(
    forest_path: Path, roomy: RunningServer, tmp_path: Path, capsys: Capture
) -> None:
    bars = lists(0, BARS)
    lines = [f"{','.join(map(str, bar))},{ticker}" for ticker in ("A", "BRK.B") for bar in bars]
    lines[BARS + 4] = lines[BARS + 4].replace(str(bars[4][4]), "-5.0", 1)
    two, rows = tmp_path / "two.csv", tmp_path / "rows.csv"
    two.write_text("\n".join(["Date,Open,High,Low,close,Volume,ticker", *lines, "2026-01-15,1,1,1,1,1,C"]))
    rows.write_text("\n".join([",".join(FEATURE_NAMES), ",".join(["1.5"] * 22), ",".join(["1e300", *["1.5"] * 21])]))
    places = {
        "BRK.B": (f"{two}, line {BARS + 6}, column close", "must be a positive finite number, not -5.0"),
        "C": (f"{two}, ticker C", "expected at least 50 bars, got 1; 49 missing"),
        "row": (f"{rows}, line 3, column SMA_5", "expected a finite number of float32's range, got 1e+300"),
    }
    for where in (("--model-path", str(forest_path)), ("--url", f"http://127.0.0.1:{roomy.port}")):
        tickers = json.loads(printed(capsys, "predict", str(two), *where, "--json"))["tickers"]
        good, bad = json.loads(printed(capsys, "predict", str(rows), *where, "--json"))["predictions"]
        assert good["probability"]
        shown = printed(capsys, "predict", str(two), *where) + printed(capsys, "predict", str(rows), *where)
        for name, (place, fault) in places.items():
            error = (bad if name == "row" else tickers[name])["error"]
            assert (error["field"], error["detail"]) == (place, f"{place}: {fault}")
            assert f"{place}: {fault}" in shown
        assert f"{rows}, line 3, column SMA_5: expected a finite" in refused(
            capsys, "explain", str(rows), "--model-path", str(forest_path)
        )


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("rows.npy", b"", "expected a matrix of numbers in NumPy's format"),
        ("row.json", b"", "expected a row as JSON: Expecting value"),
        ("row.JSON", b"[1, 2", "expected a row as JSON: Expecting ',' delimiter: line 1 column 6"),
        ("bars.csv", "Börse".encode("latin-1"), "expected text in UTF-8"),
    ],
)
def test_what_cannot_be_read_is_named(
    name: str, content: bytes, fault: str, forest_path: Path, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert f"{path}: {fault}" in refused(capsys, "predict", str(path), "--model-path", str(forest_path))


def test_standard_input_in_another_encoding(
    forest_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("Börse".encode("latin-1"))))
    error = refused(capsys, "predict", "-", "--model-path", str(forest_path))
    assert "standard input: expected text in UTF-8" in error


def test_an_empty_url_is_no_model_file(forest_path: Path, capsys: Capture) -> None:
    assert "--url: expected http" in refused(capsys, "predict", "--url", "", "--model-path", str(forest_path))


def test_a_server_that_asks_for_a_token(forest_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_server(forest_path, PREDICT_TOKENS="one,two") as running:
        url = ("--url", f"http://127.0.0.1:{running.port}")
        assert "401" in refused(capsys, "predict", *url)
        assert json.loads(printed(capsys, "predict", *url, "--token", "two", "--json"))["model_version"] == "1.0.0"
        monkeypatch.setenv("PREDICT_TOKEN", "one")
        assert json.loads(printed(capsys, "predict", *url, "--json"))["model_version"] == "1.0.0"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("longer", [False, True])
def test_output_that_cannot_be_written(unbuffered: str, longer: bool, forest_path: Path) -> None:
    environ = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    words = ["completion", "fish"] if longer else ["predict", "--model-path", str(forest_path)]
    command = [sys.executable, "-m", "tickline", *words]
    with open("/dev/full", "w") as full:
        told = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environ)
    assert (told.returncode, told.stderr) == (1, "tickline: standard output: No space left on device\n")
    reading, writing = os.pipe()
    os.close(reading)
    silent = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, env=environ)
    os.close(writing)
    assert (silent.returncode, silent.stderr) == (1, "")


@pytest.mark.parametrize(
    ("given", "streams", "told"),
    [
        (("predict", "-"), "<&-", "tickline: standard input: cannot be read: it is closed\n"),
        (("predict",), "<&-", ""),
        (("predict",), ">&-", "tickline: standard output: it is closed\n"),
        (("predict", "--json"), ">&- <&-", "tickline: standard output: it is closed\n"),
        (("explain",), ">&-", "tickline: standard output: it is closed\n"),
        (("verify",), ">&-", "tickline: standard output: it is closed\n"),
        (("completion", "bash"), ">&-", "tickline: standard output: it is closed\n"),
        (("predict", "nothing.csv"), ">&-", "tickline: there is no file 'nothing.csv'; expected "),
        (("predict", "nothing.csv"), "2>&-", ""),
    ],
)
def test_a_stream_that_is_closed_is_named(given: tuple[str, ...], streams: str, told: str, forest_path: Path) -> None:
    command = ["sh", "-c", f'exec "$0" "$@" {streams}', sys.executable, "-m", "tickline", *given]
    ended = subprocess.run(
        command, env={**os.environ, "MODEL_PATH": str(forest_path)}, capture_output=True, text=True, check=False
    )
    assert ended.stderr.startswith(told) if told else not ended.stderr
    assert ended.stderr.count("\n") <= 1
    fine = streams == "<&-" and not told
    assert ended.returncode == (0 if fine else 1)
    assert bool(ended.stdout) == fine


def test_a_server_is_asked(roomy: RunningServer, tmp_path: Path, capsys: Capture) -> None:
    url = ("--url", f"http://127.0.0.1:{roomy.port}/")
    for row in ((), (json.dumps([0.5] * 22),)):
        assert json.loads(printed(capsys, "predict", *row, *url, "--json"))["model_version"] == "1.0.0"
    np.save(tmp_path / "rows.npy", np.zeros((3, 22)))
    assert printed(capsys, "predict", str(tmp_path / "rows.npy"), *url).startswith("3 predictions")
    assert "422: features[0]: expected number, got string" in refused(capsys, "predict", '["a"]', *url)


def test_nobody_answers(capsys: Capture) -> None:
    assert "Connection refused" in refused(capsys, "predict", "--url", "http://127.0.0.1:1")
    assert "--url: expected http:// or https://" in refused(capsys, "predict", "--url", "file:///etc/passwd")


@pytest.mark.parametrize("kind", ["forest_path", "boosting_path"])
def test_contributions_add_up(kind: str, request: pytest.FixtureRequest, capsys: Capture) -> None:
    path = request.getfixturevalue(kind)
    for given in ((), (json.dumps([0.5] * 22),)):
        found = json.loads(printed(capsys, "explain", *given, "--model-path", str(path), "--json"))
        assert found["label"] == "UP"
        assert found["base"] + sum(found["contributions"].values()) == pytest.approx(found["score"], abs=1e-12)
    lines = printed(capsys, "explain", "--model-path", str(path)).splitlines()
    assert "UP with probability" in lines[0]
    sizes = [abs(float(line.split()[2])) for line in lines[5:]]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == 22


def test_the_newest_bar_and_the_last_row_are_explained(
    bars_file: Path, forest_path: Path, tmp_path: Path, capsys: Capture
) -> None:
    where = ("--model-path", str(forest_path), "--json")
    rows = compute(*arrays(0, BARS))[49:]
    np.save(tmp_path / "rows.npy", rows)
    by_bars = json.loads(printed(capsys, "explain", str(bars_file), *where))
    assert by_bars == json.loads(printed(capsys, "explain", str(tmp_path / "rows.npy"), *where))
    assert list(by_bars["values"].values()) == rows[-1].astype(np.float32).tolist()


def test_labels_are_opposites(forest_path: Path, boosting_path: Path, capsys: Capture) -> None:
    for path, total in ((forest_path, 1.0), (boosting_path, 0.0)):
        where = ("--model-path", str(path), "--json")
        up, down = (json.loads(printed(capsys, "explain", "--label", label, *where)) for label in ("UP", "DOWN"))
        assert up["score"] + down["score"] == pytest.approx(total, abs=1e-9)
        assert up["contributions"] == {name: -share for name, share in down["contributions"].items()}
    assert "--label: expected DOWN or UP, got 'SIDEWAYS'" in refused(
        capsys, "explain", "--label", "SIDEWAYS", "--model-path", str(forest_path)
    )


def test_what_cannot_be_explained_is_said(
    naive_bayes_path: Path, forest_path: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert "contributions: " in refused(capsys, "explain", "--model-path", str(naive_bayes_path))

    def without_background(card: str) -> str:
        return json.dumps({**json.loads(card), "background": None})

    older = tmp_path / "older.onnx"
    older.write_bytes(edited(forest_path.read_bytes(), CARD_KEY, without_background))
    assert "no background rows: export the model again" in refused(capsys, "explain", "--model-path", str(older))
