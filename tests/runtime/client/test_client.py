"""Both clients against a real server: what they send, and what they make of the replies."""

import asyncio
import inspect
import io
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tickline
from features_fast import FEATURE_NAMES
from runtime.client import (
    AsyncClient,
    BarPrediction,
    Client,
    ClientError,
    NoAnswerError,
    RefusedError,
)
from runtime.model import load_model
from tests.bars import arrays, columns
from tests.runtime.client.conftest import url
from tests.runtime.client.scripted import OK, reply, scripted
from tests.runtime.conftest import export_forest, random_rows
from tests.serving import RunningServer, running_server, self_signed


def test_they_come_from_the_front_door() -> None:
    assert (tickline.Client, tickline.AsyncClient) == (Client, AsyncClient)
    with pytest.raises(AttributeError, match="no attribute 'Customer'"):
        _ = tickline.Customer


def test_both_have_the_same_methods() -> None:
    ours, theirs = (
        {
            name: list(inspect.signature(method).parameters.values())
            for name, method in vars(kind).items()
            if inspect.isfunction(method) and not name.startswith("_")
        }
        for kind in (Client, AsyncClient)
    )
    assert ours == theirs


def test_a_row_in_every_form(ask: Any, roomy: RunningServer, forest_path: Path) -> None:
    client, row = ask(url(roomy)), random_rows(1, 22, seed=4)[0]
    expected = load_model(forest_path, 1).predictor.predict(row[None])[0]
    named = dict(zip(FEATURE_NAMES, row.tolist(), strict=True))
    for form in (row, row.astype(np.float64), row.tolist(), tuple(row.tolist()), named, pd.Series(named)):
        found = client.predict(form)
        assert list(found.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-7)
        assert found.label == ("DOWN", "UP")[found.prediction]
        assert found.probability == max(found.probabilities.values())
        assert found.timestamp.tzinfo is not None
    assert client.predict_demo().model_version == "1.0.0"


def test_batches_in_every_form(ask: Any, roomy: RunningServer, forest_path: Path) -> None:
    client, rows = ask(url(roomy)), random_rows(300, 22, seed=4)
    expected = load_model(forest_path, 1).predictor.predict(rows)
    np.testing.assert_allclose(client.predict_probabilities(rows), expected, atol=1e-7)
    np.testing.assert_array_equal(client.predict_probabilities(rows, raw=True), client.predict_probabilities(rows))
    frame = pd.DataFrame(rows, columns=list(FEATURE_NAMES), index=pd.date_range("2026-01-01", periods=300))
    shuffled = frame[list(reversed(FEATURE_NAMES))]
    for form in (rows, rows.tolist(), frame, shuffled, shuffled[:99]):
        found = client.predict_batch(form)
        assert len(found) == len(form)
        np.testing.assert_allclose(found.probabilities["UP"], expected[: len(form), 1], atol=1e-7)
        assert [("DOWN", "UP")[one] for one in found.prediction] == found.labels
    told = client.predict_batch(frame).to_frame()
    assert list(told.columns) == ["label", "probability", "DOWN", "UP"]
    assert told.index.equals(frame.index)


def test_a_frame_without_pandas_says_what_is_missing(
    ask: Any, roomy: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = ask(url(roomy))
    batch, bars = client.predict_batch(random_rows(3, 22, seed=4)), client.predict_every_bar(columns(0, 60))
    monkeypatch.setitem(sys.modules, "pandas", None)
    for told in (batch, bars):
        with pytest.raises(ModuleNotFoundError, match=r"^to_frame: pandas is not installed: pip install pandas$"):
            told.to_frame()


def test_bad_rows_are_marked_or_refused(ask: Any, roomy: RunningServer) -> None:
    client, rows = ask(url(roomy)), random_rows(3, 22, seed=4)
    rows[1, 7] = np.nan
    found = client.predict_batch(rows)
    assert found.prediction[1] == -1
    assert found.labels[1] is None
    assert np.isnan(found.probability).tolist() == [False, True, False]
    assert [(bad.index, bad.error.field) for bad in found.bad_rows] == [(1, "features[1][7]")]
    for method, options in (("predict_batch", {"strict": True}), ("predict_probabilities", {})):
        with pytest.raises(RefusedError) as refused:
            getattr(client, method)(rows, **options)
        assert (refused.value.status, refused.value.field) == (422, "features[1][7]")
    with pytest.raises(ClientError, match=r"rows: expected shape \(rows, features\), got \(22,\)"):
        client.predict_batch(rows[0])


def test_bars_in_every_form(ask: Any, roomy: RunningServer) -> None:
    client, bars = ask(url(roomy)), columns(0, 60)
    frame = pd.DataFrame(bars).rename(columns=str.title)
    newest = client.predict_bars(bars)
    assert isinstance(newest, BarPrediction)
    assert (newest.bar.index, newest.bar.date) == (59, bars["date"][-1])
    assert client.predict_bars(frame) == newest
    stamps = frame.assign(Date=pd.to_datetime(frame["Date"]))
    assert client.predict_bars(stamps).probabilities == newest.probabilities
    without_dates = client.predict_bars(np.column_stack(arrays(0, 60)))
    assert without_dates.probabilities == newest.probabilities
    assert without_dates.bar.date is None
    dated = frame.set_index(pd.to_datetime(frame.pop("Date")).rename("day"))
    assert client.predict_bars(dated).bar.date.startswith(bars["date"][-1])
    every = client.predict_every_bar(dated)
    assert len(every) == 11
    assert every[-1].probabilities == newest.probabilities
    told = every.to_frame()
    assert told.index.equals(dated.index[49:])
    assert told["UP"].tolist() == [one.probabilities["UP"] for one in every]
    assert client.predict_every_bar(bars).to_frame().index.equals(dated.index[49:])
    assert client.predict_every_bar(np.column_stack(arrays(0, 60))).to_frame().index.tolist() == list(range(49, 60))
    with pytest.raises(ClientError, match="got none of volume"):
        client.predict_bars(frame.drop(columns="Volume"))
    with pytest.raises(ClientError, match=r"expected shape \(bars, 5\)"):
        client.predict_bars(np.zeros((3, 4)))


def test_the_model_the_metrics_and_a_reload(ask: Any, roomy: RunningServer) -> None:
    client = ask(url(roomy))
    assert client.model_info().feature_names == FEATURE_NAMES
    client.reload()
    assert "\nmodel_reloads_total{" in client.metrics()


@pytest.mark.parametrize("same", [True, False])
def test_a_long_frame_travels_as_numbers_unless_the_model_changes_meanwhile(same: bool, ask: Any) -> None:
    """The order of its columns is asked for before and, lest a reload came between, after."""
    labels = b'"prediction":[1],"prediction_label":["UP"],"probability":[0.5],"probabilities":{"DOWN":[0.5],"UP":[0.5]}'
    batch = reply(200, b"{" + labels + b',"bad_rows":[],"model_version":"1","timestamp":"2026-01-15T10:30:00Z"}')
    before, after = (
        reply(200, f'{{"name":"m","version":"1","sha256":"{sha}","feature_names":["b","a"],"labels":["x"]}}'.encode())
        for sha in ("old", "old" if same else "new")
    )
    frame = pd.DataFrame({"a": np.arange(100.0), "b": np.arange(100.0) + 0.5})
    with scripted(before, batch, after, batch) as server:
        ask(server.url).predict_batch(frame)
        sent = server.requests
        body = sent[1].partition(b"\r\n\r\n")[2]
        np.testing.assert_array_equal(np.load(io.BytesIO(body)), frame[["b", "a"]].to_numpy(np.float32))
        assert len(sent) == (3 if same else 4)
        if not same:
            assert b'{"columns":{"a":[0.0,' in sent[3]


def test_a_symbol_grows_bar_by_bar(ask: Any, roomy: RunningServer) -> None:
    client, bars = ask(url(roomy)), columns(0, 60)
    frame = pd.DataFrame(bars)
    dated = frame.drop(columns="date").set_index(pd.to_datetime(frame["date"]))
    begun = client.seed_symbol("BRK.B", frame[:48])
    assert (begun.label, begun.missing_bars, begun.bar.index) == (None, 2, 47)
    assert client.add_bar("BRK.B", dict(frame.iloc[48])).missing_bars == 1
    assert client.add_bar("BRK.B", frame.iloc[49]).label in ("DOWN", "UP")
    for _, bar in dated[50:].iterrows():
        newest = client.add_bar("BRK.B", bar)
    assert newest.probabilities == client.predict_bars(frame).probabilities
    held = client.describe_symbol("BRK.B")
    assert (held.ticker, held.bars, held.missing_bars) == ("BRK.B", 60, 0)
    with pytest.raises(RefusedError, match="409"):
        client.add_bar("BRK.B", frame.iloc[59])
    client.forget_symbol("BRK.B")
    with pytest.raises(RefusedError, match="404"):
        client.describe_symbol("BRK.B")
    client.seed_symbol("^X", np.column_stack(arrays(0, 50)))
    assert client.add_bar("^X", [10.0, 12.0, 9.0, 11.0, 100.0]).bar.date is None


def test_operators_reload_pick_and_roll_back(ask: Any, forest_path: Path, boosting_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(forest_path.read_bytes())
    with running_server(path) as server:
        client = ask(url(server))
        first = client.model_info().sha256
        path.write_bytes(boosting_path.read_bytes())
        with pytest.raises(RefusedError, match="probability"):
            client.reload(max_flips=10_000, max_probability_change=0.0)
        export_forest(path, "2.0.0")
        done = client.reload()
        assert (done.previous_version, done.model_version) == ("1.0.0", "2.0.0")
        assert done.comparison.golden.rows > 0
        assert client.rollback().sha256 == first
        assert client.reload(version="2.0.0").model_version == "2.0.0"
        with pytest.raises(RefusedError):
            client.reload(version="3.0.0")


def test_refusals_carry_the_problem_details(ask: Any, roomy: RunningServer) -> None:
    with pytest.raises(RefusedError, match="422: features: expected 22 numbers, got 2") as refused:
        ask(url(roomy)).predict([1.0, 2.0])
    assert refused.value.members["title"]
    assert refused.value.field == "features"


def test_a_token_and_a_prefix_are_sent(ask: Any) -> None:
    with scripted(OK) as server:
        ask(f"{server.url}/stocks/", token="secret").metrics()
        head = server.requests[0].decode()
        assert head.startswith("GET /stocks/metrics HTTP/1.1\r\n")
        assert "Authorization: Bearer secret\r\n" in head


def test_nobody_listens_and_nothing_is_a_url(ask: Any, closed_port: int) -> None:
    with pytest.raises(NoAnswerError, match="Connection refused"):
        ask(f"http://127.0.0.1:{closed_port}", retries=1).metrics()
    for wrong in ("localhost:5000", "ftp://x", "http://", "http://x:port", "http://x/?a=b"):
        with pytest.raises(ClientError, match="expected http:// or https:// and a host"):
            ask(wrong)


def test_many_at_once(roomy: RunningServer) -> None:
    rows = random_rows(200, 22, seed=4)
    with Client(url(roomy)) as client, ThreadPoolExecutor(8) as pool:
        expected = client.predict_probabilities(rows)
        found = list(pool.map(client.predict, rows))
    assert [list(one.probabilities.values()) for one in found] == [pytest.approx(row.tolist()) for row in expected]

    async def all_at_once() -> list[float]:
        async with AsyncClient(url(roomy)) as client:
            return [one.probability for one in await asyncio.gather(*map(client.predict, rows))]

    assert asyncio.run(all_at_once()) == [one.probability for one in found]


def test_a_server_over_tls_is_trusted_by_its_certificate(ask: Any, forest_path: Path, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    with running_server(forest_path, TLS_CERT_FILE=str(certificate), TLS_KEY_FILE=str(key)) as server:
        secure = f"https://127.0.0.1:{server.port}"
        client = ask(secure, context=ssl.create_default_context(cafile=str(certificate)))
        assert [client.predict_demo().model_version for _ in range(2)] == ["1.0.0"] * 2
        client.close()
        with pytest.raises(NoAnswerError, match="certificate verify failed"):
            ask(secure, retries=0).predict_demo()


def test_bad_values_are_named_before_they_are_sent(ask: Any, closed_port: int) -> None:
    """JSON has no NaN: the server would speak of a null that nobody sent."""
    client = ask(f"http://127.0.0.1:{closed_port}", retries=0)
    row, frame = [0.5] * 22, pd.DataFrame(columns(0, 60))
    holed = frame.assign(close=frame["close"].where(frame.index != 7))
    for call, fault in (
        (
            lambda: client.predict([*row[:3], float("nan"), *row[4:]]),
            r"features\[3\]: expected a finite number, got nan",
        ),
        (lambda: client.predict(np.full(22, np.inf)), r"features\[0\]: expected a finite number, got inf"),
        (lambda: client.predict(dict.fromkeys(FEATURE_NAMES, np.nan)), r"features\.SMA_5: expected a finite number"),
        (lambda: client.predict([None, *row]), r"features\[0\]: expected a finite number, got None"),
        (lambda: client.predict(pd.DataFrame([row], columns=FEATURE_NAMES)), "expected one row, got a DataFrame"),
        (lambda: client.predict(pd.Series([1.0, 2.0], ["RSI", "RSI"])), r"features\.RSI: given twice"),
        (lambda: client.predict({1: 1.0, "1": 2.0}), r"features\.1: given twice"),
        (lambda: client.predict({"RSI": "high"}), r"features\.RSI: expected a finite number, got 'high'"),
        (lambda: client.predict(7), "row: expected numbers, a mapping or a Series, got 7"),
        (
            lambda: client.predict_batch(pd.DataFrame([[1.0, 2.0]], columns=["RSI", "RSI"])),
            r"columns\.RSI: given twice",
        ),
        (lambda: client.predict_batch(pd.DataFrame({"RSI": ["high"]})), r"columns\.RSI: expected numbers"),
        (lambda: client.predict_bars(frame.assign(Close=1.0)), r"bars\.close: given twice"),
        (lambda: client.predict_bars(frame.assign(Date=frame["date"])), r"bars\.date: given twice"),
        (lambda: client.predict_bars(frame.assign(close="high")), r"bars\.close: expected numbers"),
        (lambda: client.predict_bars([["high"] * 5]), "bars: expected numbers"),
        (lambda: client.add_bar("X", {"close": 1.0, "Close": 2.0}), r"bars\.close: given twice"),
        (lambda: client.add_bar("X", pd.Series([1.0, 2.0], ["close", "close"])), r"bar\.close: given twice"),
        (lambda: client.add_bar("X", [1.0, 2.0]), "bar: expected 5 numbers, open, high, low, close, volume, got 2"),
        (lambda: client.predict_batch([row, row[:2]]), "rows: expected numbers of shape"),
        (lambda: client.predict_batch([dict(zip(FEATURE_NAMES, row, strict=True))]), "rows: expected numbers of shape"),
        (lambda: client.predict_bars(holed), r"bars\.close\[7\]: expected a finite number, got nan"),
        (
            lambda: client.predict_bars(holed[["open", "high", "low", "close", "volume"]].to_numpy()),
            r"bars\.close\[7\]",
        ),
        (lambda: client.add_bar("X", [1, 2, 1, float("nan"), 5]), r"bars\.close\[0\]"),
        (lambda: client.predict_bars(frame.assign(Ticker=["A", "B"] * 30)), "those of one ticker, got A, B"),
        (lambda: client.describe_symbol("BTC/USD"), "ticker: expected a name without a slash, got 'BTC/USD'"),
        (lambda: client.describe_symbol(""), "ticker: expected"),
    ):
        with pytest.raises(ClientError, match=fault) as caught:
            call()  # type: ignore[no-untyped-call]
        assert not isinstance(caught.value, NoAnswerError), fault


def test_scalars_of_numpy_and_numbers_beyond_float32(server: RunningServer, ask: Any) -> None:
    client = ask(f"http://127.0.0.1:{server.port}")
    values = np.arange(22, dtype=np.float32)
    assert client.predict(list(values)).probability == client.predict(values).probability
    assert client.predict(list(np.arange(22))).probability == client.predict(values).probability
    rows = np.zeros((3, 22))
    rows[1, 0] = 1e300  # a warning of the cast would be an error here
    assert [bad.index for bad in client.predict_batch(rows).bad_rows] == [1]


@pytest.mark.parametrize("token", ["abc\n", "a b", "a\r\nX-Other: 1", "\u20ac"])
def test_a_token_that_is_no_header_is_refused(token: str, ask: Any) -> None:
    with pytest.raises(ClientError, match="token: expected visible ASCII") as caught:
        ask("http://127.0.0.1:1", token=token)
    assert token.strip() not in str(caught.value)


@pytest.mark.parametrize("url", ["http://[::1", "http://127.0.0.1:1/\u00e4", "http://127.0.0.1:1/a b"])
def test_a_url_that_is_none_is_refused(url: str, ask: Any) -> None:
    with pytest.raises(ClientError, match="expected http:// or https:// and a host"):
        ask(url)
