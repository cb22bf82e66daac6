"""Bars on the wire: the answers of `/predict` to the features of training, symbols bar by bar, and every refusal."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from features_fast import WARM_UP, backend, compute
from runtime.bars_endpoints import SHORT_BODY
from tests.bars import arrays, columns, lists, rows
from tests.runtime.test_endpoints import check_problem
from tests.serving import Connection, Reply, RunningServer, running_server

BARS = 300


@pytest.fixture(scope="module")
def running(forest_path: Path) -> Iterator[RunningServer]:
    """One worker with limits that a test can reach."""
    with running_server(forest_path, MAX_BATCH_ROWS="2000", MAX_SYMBOLS="3") as server:
        yield server


@pytest.fixture
def connection(running: RunningServer) -> Iterator[Connection]:
    with running.connection() as opened:
        yield opened


def send(connection: Connection, method: str, path: str, document: Any = None) -> Reply:
    """Send a JSON document, or nothing."""
    body = None if document is None else json.dumps(document).encode()
    return connection.request(method, path, body, {} if body is None else {"Content-Type": "application/json"})


def timeless(prediction: dict[str, Any], *without: str) -> dict[str, Any]:
    """Return a prediction without its time and other members."""
    return {name: value for name, value in prediction.items() if name not in ("timestamp", *without)}


def counter(connection: Connection, name: str) -> float:
    """Return the sum of all samples of a metric."""
    text = connection.request("GET", "/metrics").body.decode()
    found = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
    assert found, name
    return sum(map(float, found))


def test_the_prediction_is_that_of_the_features_of_training(connection: Connection) -> None:
    features = compute(*arrays(0, BARS))
    every = connection.post("/predict/bars?all=true", {"bars": columns(0, BARS)}).json()
    assert every["count"] == BARS - WARM_UP
    for stop in range(WARM_UP + 1, BARS + 1, 10):
        predicted = connection.post("/predict", {"features": features[stop - 1].tolist()}).json()
        newest = connection.post("/predict/bars", {"bars": columns(0, stop)})
        assert newest.status == 200
        assert list(newest.json()) == [*predicted, "bar"]
        assert timeless(newest.json(), "bar") == timeless(predicted)
        bar = {"index": stop - 1, "date": columns(stop - 1, stop)["date"][0]}
        assert newest.json()["bar"] == bar
        assert every["predictions"][stop - WARM_UP - 1] == {**timeless(predicted, "model_version"), "bar": bar}


def test_every_form_and_both_ways_give_the_same(connection: Connection) -> None:
    expected = timeless(connection.post("/predict/bars", {"bars": rows(0, BARS)}).json())
    undated = {name: values for name, values in columns(0, BARS).items() if name != "date"}
    for bars in (lists(0, BARS), columns(0, BARS)):
        assert timeless(connection.post("/predict/bars", {"bars": bars}).json()) == expected
        assert timeless(connection.post("/predict/bars?all=false", {"bars": bars}).json()) == expected
    reply = connection.post("/predict/bars", {"bars": undated}).json()
    assert timeless(reply, "bar") == timeless(expected, "bar")
    assert reply["bar"] == {"index": BARS - 1}
    long = json.dumps({"bars": rows(0, BARS)}).encode() + b" " * SHORT_BODY  # answered off the event loop
    assert timeless(connection.post("/predict/bars", long).json()) == expected
    several = connection.post("/predict/bars", {"tickers": {"^GSPC": rows(0, BARS)}}).json()
    assert several["tickers"]["^GSPC"] == timeless(expected, "model_version")


@pytest.mark.parametrize("seeded", [0, WARM_UP, WARM_UP + 1, 200])
def test_a_symbol_says_at_every_bar_what_its_whole_history_says(connection: Connection, seeded: int) -> None:
    every = connection.post("/predict/bars?all=true", {"bars": rows(0, BARS)}).json()["predictions"]
    connection.request("DELETE", "/symbols/^GSPC")
    reply = send(connection, "PUT", "/symbols/^GSPC/bars", {"bars": rows(0, seeded)})
    assert reply.status == 201
    for taken in range(seeded, BARS):
        answer = reply.json()
        assert answer["missing_bars"] == max(WARM_UP + 1 - taken, 0)
        if taken > WARM_UP:
            expected = every[taken - WARM_UP - 1]
            assert {name: answer[name] for name in expected} == expected
        else:
            assert answer["prediction"] is answer["probabilities"] is None
        bar = rows(taken, taken + 1)[0] if taken % 2 else lists(taken, taken + 1)[0]
        reply = connection.post("/symbols/^GSPC/bars", {"bar": bar})
        assert reply.status == 200
    described = connection.request("GET", "/symbols/^GSPC").json()
    assert (described["ticker"], described["bars"]) == ("^GSPC", BARS)
    assert described["last_date"] == columns(BARS - 1, BARS)["date"][0]


def test_a_long_history_seeds_the_same(connection: Connection) -> None:
    history = json.dumps({"bars": rows(0, BARS)}).encode()
    short = connection.request("PUT", "/symbols/LONG/bars", history, {"Content-Type": "application/json"})
    padded = connection.request(
        "PUT", "/symbols/LONG/bars", history + b" " * SHORT_BODY, {"Content-Type": "application/json"}
    )
    assert (short.status, padded.status) == (201, 200)
    assert timeless(short.json()) == timeless(padded.json())
    assert connection.request("DELETE", "/symbols/LONG").status == 204


def test_a_refused_bar_leaves_the_symbol_as_it_was(connection: Connection) -> None:
    send(connection, "PUT", "/symbols/KEPT/bars", {"bars": rows(0, 100)})
    newest, following = rows(99, 101)
    for wrong, status, field in (
        (newest, 409, "bar.date"),
        ({**following, "date": "1999-01-05"}, 409, "bar.date"),
        ({**following, "high": -1}, 422, "bar.high"),
        ({**following, "low": "9"}, 422, "bar.low"),
        ([1, 2, 3], 422, "bar"),
    ):
        check_problem(connection.post("/symbols/KEPT/bars", {"bar": wrong}), status, field)
    check_problem(send(connection, "PUT", "/symbols/KEPT/bars", {"bars": [[1, 2, 3, 4, -5]]}), 422, "bars[0][4]")
    assert connection.request("GET", "/symbols/KEPT").json()["bars"] == 100
    taken = connection.post("/symbols/KEPT/bars", {"bar": following}).json()
    whole = connection.post("/predict/bars", {"bars": rows(0, 101)}).json()
    assert timeless(taken, "missing_bars") == timeless(whole)


def test_symbols_make_room_are_forgotten_and_are_counted(connection: Connection) -> None:
    for ticker in "ABCD":
        send(connection, "PUT", f"/symbols/{ticker}/bars", {"bars": []})
    assert counter(connection, "symbols_held") == 3
    before = counter(connection, "symbols_evicted_total")
    send(connection, "PUT", "/symbols/E/bars", {"bars": []})
    assert counter(connection, "symbols_evicted_total") == before + 1
    for method, path in (("GET", "/symbols/A"), ("DELETE", "/symbols/A")):
        assert "MAX_SYMBOLS" in check_problem(connection.request(method, path), 404, None)["detail"]
    check_problem(connection.post("/symbols/A/bars", {"bar": rows(0, 1)[0]}), 404, None)
    assert connection.request("DELETE", "/symbols/E").status == 204
    assert counter(connection, "symbols_held") == 2
    assert 'route="/symbols/{ticker}/bars"' in connection.request("GET", "/metrics").body.decode()


def test_predictions_from_bars_are_counted(connection: Connection) -> None:
    before = counter(connection, "predictions_total")
    connection.post("/predict/bars", {"bars": rows(0, 60)})
    connection.post("/predict/bars?all=true", {"bars": rows(0, 60)})
    connection.post("/predict/bars", {"tickers": {"A": rows(0, 60), "B": rows(0, 70), "C": []}})
    send(connection, "PUT", "/symbols/COUNTED/bars", {"bars": rows(0, 60)})
    connection.post("/symbols/COUNTED/bars", {"bar": rows(60, 61)[0]})
    send(connection, "PUT", "/symbols/COUNTED/bars", {"bars": rows(0, 3)})  # no prediction
    assert counter(connection, "predictions_total") == before + 1 + 11 + 2 + 1 + 1


def without(bars: list[dict[str, Any]], index: int, **other: Any) -> list[dict[str, Any]]:
    """Return the bars with one changed."""
    return [*bars[:index], {**bars[index], **other}, *bars[index + 1 :]]


REFUSED = {
    "impossible": ("", {"bars": without(rows(0, 60), 17, high=-1)}, 422, "bars[17].high"),
    "high below low": ("", {"bars": without(rows(0, 60), 17, high=1)}, 422, "bars[17].high"),
    "impossible, every bar": ("?all=true", {"bars": without(rows(0, 60), 0, volume=-1)}, 422, "bars[0].volume"),
    "a day twice": ("", {"bars": without(rows(0, 60), 17, date=rows(16, 17)[0]["date"])}, 422, "bars[17].date"),
    "too short": ("", {"bars": rows(0, 49)}, 422, "bars"),
    "too short, every bar": ("?all=true", {"bars": rows(0, 49)}, 422, "bars"),
    "too many": ("?all=true", {"bars": columns(0, 2001)}, 413, "bars"),
    "no tickers": ("", {"tickers": {}}, 422, "tickers"),
    "no ticker's name": ("", {"tickers": {"A B": rows(0, 60)}}, 422, "tickers"),
    "all tickers fail": ("", {"tickers": {"A": [], "B": []}}, 422, "tickers"),
    "both": ("", {"bars": [], "tickers": {}}, 422, "tickers"),
    "neither": ("", {}, 422, "bars"),
    "another switch": ("?all=yes", {"bars": rows(0, 60)}, 422, "all"),
    "no JSON": ("", b'{"bars": [', 400, None),
    "NaN": ("", b'{"bars": [[1, NaN, 1, 1, 1]]}', 422, "bars[0][1]"),
    "deep": ("", b'{"tickers": {"A": ' + b"[" * 5000, 400, None),
    "deep and long": ("", b'{"tickers": {"A": ' + b"[" * 100_000, 400, None),
}


@pytest.mark.parametrize(("query", "sent", "status", "field"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_predicted_is_a_problem(
    connection: Connection, query: str, sent: Any, status: int, field: str | None
) -> None:
    check_problem(connection.post(f"/predict/bars{query}", sent), status, field)


def test_a_short_window_says_how_many_bars_are_missing(connection: Connection) -> None:
    problem = check_problem(connection.post("/predict/bars", {"bars": rows(0, 30)}), 422, "bars")
    assert problem["missing_bars"] == 20
    assert "20 missing" in problem["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status", "field"),
    [
        ("GET", "/predict/bars", 405, None),
        ("GET", "/symbols/A/bars", 405, None),
        ("POST", "/symbols/A", 405, None),
        ("GET", "/symbols/A%20B", 422, "ticker"),
        ("DELETE", f"/symbols/{'A' * 33}", 422, "ticker"),
        ("GET", "/symbols/%C3%84", 422, "ticker"),
    ],
)
def test_wrong_methods_and_names(
    connection: Connection, method: str, path: str, status: int, field: str | None
) -> None:
    check_problem(connection.request(method, path), status, field)


@pytest.mark.parametrize(("method", "path"), [("POST", "/predict/bars"), ("PUT", "/symbols/A/bars")])
def test_wrong_content_type(connection: Connection, method: str, path: str) -> None:
    reply = connection.request(method, path, b"date,open", {"Content-Type": "text/plain"})
    check_problem(reply, 415, "Content-Type")


def send_csv(connection: Connection, bars: list[list[Any]], query: str = "") -> Reply:
    """Send bars as a CSV file."""
    lines = ["Date,Open,High,Low,Close,Volume", *(",".join(map(str, bar)) for bar in bars)]
    return connection.request("POST", f"/predict/bars{query}", "\n".join(lines).encode(), {"Content-Type": "text/csv"})


def test_bars_in_csv_are_answered_as_those_in_json(connection: Connection) -> None:
    for query in ("", "?all=true"):
        expected = connection.post(f"/predict/bars{query}", {"bars": lists(0, BARS)}).json()
        for bars in (lists(0, BARS), lists(0, BARS)[::-1]):
            assert timeless(send_csv(connection, bars, query).json()) == timeless(expected)
    impossible = [*lists(0, BARS), ["2030-01-01", 2, 1, 2, 1, 1]]
    check_problem(send_csv(connection, impossible), 422, f"line {BARS + 2}, column High")
    check_problem(send_csv(connection, lists(0, 20)), 422, "bars")
    check_problem(send_csv(connection, lists(0, 2100)), 413, None)


def test_a_server_with_a_built_library_holds_no_compiler(running: RunningServer) -> None:
    with running.connection() as connection:
        bars = connection.request("GET", "/model/info").json()["bars"]
        assert bars == {"offered": True, "reason": None, "backend": backend()}
        compiles = bars["backend"].startswith("just in time")
        assert (counter(connection, "kernel_compilations_total") > 0) == compiles
    assert ("llvmlite" in Path(f"/proc/{running.process.pid}/maps").read_text()) == compiles


def test_the_examples_of_the_home_page_work(connection: Connection) -> None:
    for route in connection.request("GET", "/").json()["routes"]:
        if "/bars" in route["path"]:
            found = re.search(r"http://127.0.0.1:\d+(\S+).*-d '(.*)'$", route["example"])
            assert found is not None
            reply = send(connection, route["method"], found[1], json.loads(found[2]))
            assert reply.status in (200, 201)
            assert reply.json()["prediction"] in (0, 1)


def test_a_model_of_other_features_takes_no_bars(three_class_path: Path) -> None:
    with running_server(three_class_path) as other, other.connection() as connection:
        offer = connection.request("GET", "/model/info").json()["bars"]
        assert (offer["offered"], offer["backend"]) == (False, None)
        for reply in (
            connection.post("/predict/bars", {"bars": rows(0, 60)}),
            connection.post("/symbols/A/bars", {"bar": rows(0, 1)[0]}),
            connection.request("GET", "/symbols/A"),
        ):
            assert offer["reason"] in check_problem(reply, 409, None)["detail"]
        assert connection.post("/predict", {"features": [0.5] * 5}).status == 200


def test_several_workers_take_windows_and_refuse_symbols(forest_path: Path) -> None:
    with running_server(forest_path, WORKERS="2") as two, two.connection() as connection:
        assert connection.post("/predict/bars", {"bars": rows(0, 60)}).status == 200
        for reply in (
            send(connection, "PUT", "/symbols/A/bars", {"bars": rows(0, 60)}),
            connection.post("/symbols/A/bars", {"bar": rows(0, 1)[0]}),
            connection.request("GET", "/symbols/A"),
            connection.request("DELETE", "/symbols/A"),
        ):
            assert "WORKERS=1" in check_problem(reply, 501, "WORKERS")["detail"]
