"""The routes on the wire: what they answer, and what they refuse."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features_fast import FEATURE_NAMES, FEATURES
from runtime.artifact import parse_metadata, read_sealed
from runtime.onnxruntime_engine import OnnxruntimeEngine
from tests.runtime.conftest import FIVE_NAMES, THREE_CLASSES, load_as_served, random_rows
from tests.serving import Connection, RunningServer, running_server

ROW = [round(0.25 * index, 2) for index in range(22)]
NAMED = dict(zip(FEATURE_NAMES, ROW, strict=True))


@pytest.fixture
def connection(server: RunningServer) -> Iterator[Connection]:
    with server.connection() as opened:
        yield opened


def check_prediction(reply: dict[str, Any], labels: tuple[str, ...], version: str) -> None:
    """Check everything that a prediction promises of itself."""
    assert list(reply) == [
        *("prediction", "prediction_label", "probability", "probabilities"),
        *("model_version", "timestamp"),
    ]
    probabilities = reply["probabilities"]
    assert tuple(probabilities) == labels
    values = list(probabilities.values())
    assert reply["probability"] == max(values)
    assert reply["prediction"] == values.index(max(values))
    assert reply["prediction_label"] == labels[reply["prediction"]]
    assert sum(values) == pytest.approx(1, abs=1e-5)
    assert reply["model_version"] == version
    assert reply["timestamp"].endswith("Z")
    datetime.fromisoformat(reply["timestamp"])


def test_predict_equals_the_predictor(connection: Connection, forest_path: Path) -> None:
    predictor = load_as_served(forest_path).predictor
    for row in random_rows(50, 22, seed=5):
        reply = connection.post("/predict", {"features": row.tolist()})
        assert reply.status == 200
        assert reply.headers["content-type"] == "application/json"
        check_prediction(reply.json(), ("DOWN", "UP"), "1.0.0")
        served = np.array(list(reply.json()["probabilities"].values()), np.float32)
        assert served.tobytes() == predictor.predict(row[None])[0].tobytes()


def test_the_named_form_is_the_same_in_any_order(connection: Connection) -> None:
    listed = connection.post("/predict", {"features": ROW}).json()
    for names in (FEATURE_NAMES, FEATURE_NAMES[::-1]):
        named = connection.post("/predict", {"features": {name: NAMED[name] for name in names}}).json()
        assert {**named, "timestamp": 0} == {**listed, "timestamp": 0}


def test_batch_equals_single_predictions(connection: Connection) -> None:
    rows: list[Any] = random_rows(49, 22, seed=6).tolist()
    rows.append(dict(zip(FEATURE_NAMES, rows[0], strict=True)))
    reply = connection.post("/predict/batch", {"features": rows})
    assert reply.status == 200
    answer = reply.json()
    assert answer["count"] == len(answer["predictions"]) == 50
    assert answer["model_version"] == "1.0.0"
    for row, prediction in zip(rows, answer["predictions"], strict=True):
        single = connection.post("/predict", {"features": row}).json()
        assert prediction == {name: single[name] for name in prediction}
        assert list(prediction) == ["prediction", "prediction_label", "probability", "probabilities"]


def test_demo_predicts_the_example_of_the_file(connection: Connection) -> None:
    reply = connection.request("GET", "/predict/demo")
    assert reply.status == 200
    check_prediction(reply.json(), ("DOWN", "UP"), "1.0.0")


def test_model_info_shows_certificate_and_features(connection: Connection, forest_path: Path) -> None:
    info = connection.request("GET", "/model/info").json()
    content, sha256 = read_sealed(forest_path)
    _, certificate = parse_metadata(OnnxruntimeEngine(content).metadata)
    assert info["sha256"] == sha256
    assert info["labels"] == ["DOWN", "UP"]
    assert info["feature_names"] == list(FEATURE_NAMES)
    assert [feature["formula"] for feature in info["features"]] == [feature.formula for feature in FEATURES]
    assert info["certificate"]["tolerance"] == certificate.tolerance
    assert info["certificate"]["replay"]["rows"] >= 256
    assert info["certificate"]["replay"]["max_probability_difference"] <= certificate.tolerance
    assert [finding["engine"].partition(" ")[0] for finding in info["certificate"]["engines"]] == [
        "onnxruntime",
        "compiled",
    ]


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
def test_health(connection: Connection, path: str) -> None:
    assert connection.request("GET", path).status == 200
    assert connection.request("HEAD", path).status == 200


def test_home_speaks_html_to_browsers_and_json_to_programs(connection: Connection) -> None:
    page = connection.request("GET", "/", headers={"Accept": "text/html,*/*"})
    assert page.headers["content-type"].startswith("text/html")
    assert b"random_forest 1.0.0" in page.body
    document = connection.request("GET", "/").json()
    paths = {route["path"] for route in document["routes"]}
    assert paths >= {"/", "/health", "/model/info", "/predict", "/predict/batch", "/metrics", "/reload"}
    assert document["model"]["version"] == "1.0.0"


def test_the_reference_is_a_page_for_everyone(connection: Connection) -> None:
    for accept in ("text/html", "*/*", "application/json"):
        page = connection.request("GET", "/docs", headers={"Accept": accept})
        assert page.headers["content-type"].startswith("text/html")
        assert b"<h1>API reference</h1>" in page.body


def body(features: Any) -> bytes:
    return json.dumps({"features": features}).encode()


def replaced(index: int, text: str) -> bytes:
    """Return a valid body in which one number is replaced by a text."""
    values = [str(value) for value in ROW]
    values[index] = text
    return f'{{"features": [{", ".join(values)}]}}'.encode()


BAD_ROWS = {
    "too few": (body(ROW[:-1]), 422, "features"),
    "too many": (body([*ROW, 1]), 422, "features"),
    "none": (body([]), 422, "features"),
    "no features": (b"{}", 422, "features"),
    "another field": (json.dumps({"features": ROW, "model": 1}).encode(), 422, "model"),
    "features is a string": (body("1,2"), 422, "features"),
    "features is null": (body(None), 422, "features"),
    "a list": (json.dumps(ROW).encode(), 422, "body"),
    "null": (b"null", 422, "body"),
    "NaN": (replaced(7, "NaN"), 422, "features[7]"),
    "Infinity": (replaced(8, "Infinity"), 422, "features[8]"),
    "-Infinity": (replaced(9, "-Infinity"), 422, "features[9]"),
    "1e400": (replaced(7, "1e400"), 422, "features[7]"),
    "beyond float32": (replaced(21, "-3.5e38"), 422, "features[21]"),
    "string": (replaced(3, '"1"'), 422, "features[3]"),
    "null value": (replaced(4, "null"), 422, "features[4]"),
    "true": (replaced(5, "true"), 422, "features[5]"),
    "nested list": (replaced(6, "[1]"), 422, "features[6]"),
    "nested object": (replaced(6, "{}"), 422, "features[6]"),
    "missing name": (body({name: 1 for name in FEATURE_NAMES if name != "RSI"}), 422, "features.RSI"),
    "unknown name": (body({**NAMED, "VWAP": 1}), 422, "features.VWAP"),
    "named string": (body({**NAMED, "MACD": "1"}), 422, "features.MACD"),
    "named beyond float32": (body({**NAMED, "Gap": 1e39}), 422, "features.Gap"),
    "empty": (b"", 400, None),
    "white space": (b"  \n", 400, None),
    "broken": (b'{"features": [1, 2', 400, None),
    "trailing": (body(ROW) + b"]", 400, None),
    "not UTF-8": (b'{"features": {"\xff": 1}}', 400, None),
    "UTF-16": (body(ROW).decode().encode("utf-16"), 400, None),
    "deep": (b'{"features": ' + b"[" * 5000, 422, "features[0]"),
    "too large": (body(ROW) + b" " * 65536, 413, "body"),
}


@pytest.mark.parametrize(("sent", "status", "field"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_a_bad_row_is_a_problem_and_the_connection_goes_on(
    connection: Connection, sent: bytes, status: int, field: str | None
) -> None:
    check_problem(connection.post("/predict", sent), status, field)
    assert connection.post("/predict", {"features": ROW}).status == 200


BAD_BATCHES = {
    "0 rows": (body([]), 422, "features"),
    "ragged": (body([ROW, ROW[:-1]]), 422, "features[1]"),
    "too many rows": (body([ROW] * 51), 413, "features"),
    "one row without its list": (body(ROW), 422, "features[0]"),
    "string": (body([ROW, [*ROW[:7], "1", *ROW[8:]]]), 422, "features[1][7]"),
    "NaN": (body([ROW, ROW, [*ROW[:-1], float("nan")]]), 422, "features[2][21]"),
    "beyond float32": (body([ROW, [*ROW[:-1], 1e300]]), 422, "features[1][21]"),
    "missing name": (body([ROW, {"RSI": 1}]), 422, "features[1].SMA_5"),
    "null": (body([ROW, None]), 422, "features[1]"),
    "empty": (b"", 400, None),
    "broken": (body([ROW])[:-2], 400, None),
}


@pytest.mark.parametrize(("sent", "status", "field"), BAD_BATCHES.values(), ids=BAD_BATCHES.keys())
def test_a_bad_batch_is_a_problem_and_the_connection_goes_on(
    connection: Connection, sent: bytes, status: int, field: str | None
) -> None:
    check_problem(connection.post("/predict/batch?on_error=fail", sent), status, field)
    assert connection.post("/predict/batch", {"features": [ROW]}).status == 200


def check_problem(reply: Any, status: int, field: str | None) -> dict[str, Any]:
    """Check that a reply is a problem of RFC 9457 that names the field."""
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = reply.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["type"] == "about:blank"
    assert problem.get("field") == field
    if field is not None:
        assert problem["detail"].startswith(f"{field}: ")
    assert "Traceback" not in problem["detail"]
    return problem


@pytest.mark.parametrize(("path", "right"), [("/health/", "/health"), ("/predict/?x=1", "/predict?x=1")])
def test_a_slash_too_many_is_a_redirect(connection: Connection, path: str, right: str) -> None:
    reply = connection.request("GET", path)
    assert reply.status == 307
    assert reply.headers["location"].endswith(right)
    assert "307" in connection.request("GET", "/openapi.json").json()["info"]["description"]


def test_unknown_route(connection: Connection) -> None:
    assert "/nope" in check_problem(connection.request("GET", "/nope"), 404, None)["detail"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/predict"), ("PUT", "/predict/batch"), ("POST", "/health")])
def test_wrong_method(connection: Connection, method: str, path: str) -> None:
    reply = connection.request(method, path)
    check_problem(reply, 405, None)
    assert reply.headers["allow"]


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_wrong_content_type(connection: Connection, path: str) -> None:
    reply = connection.post(path, body(ROW), **{"Content-Type": "text/csv"})
    assert "application/json" in check_problem(reply, 415, "Content-Type")["detail"]


def test_a_long_name_does_not_make_a_long_reply(connection: Connection) -> None:
    problem = check_problem(connection.post("/predict", body({"x" * 10_000: 1})), 422, "features." + "x" * 291 + "...")
    assert len(json.dumps(problem)) < 2000


def test_a_truncated_body_hurts_no_one_else(server: RunningServer) -> None:
    with server.raw() as stream:
        stream.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
    assert server.request("POST", "/predict", {"features": ROW}).status == 200


def test_reload_from_elsewhere_needs_the_token(forest_path: Path) -> None:
    with running_server(forest_path, RELOAD_TOKEN="s3cret") as running:
        check_problem(running.request("POST", "/reload", b""), 401, "Authorization")
        check_problem(running.request("POST", "/reload", b"", Authorization="Bearer wrong"), 401, "Authorization")
        assert running.request("POST", "/reload", b"", Authorization="Bearer s3cret").status == 200


def test_reload_without_a_token_refuses_what_a_proxy_forwards(server: RunningServer) -> None:
    check_problem(server.request("POST", "/reload", b"", **{"X-Forwarded-For": "192.0.2.1"}), 403, None)
    assert server.request("POST", "/reload", b"").status == 200


def test_any_certified_model_is_served(three_class_path: Path) -> None:
    predictor = load_as_served(three_class_path).predictor
    with running_server(three_class_path) as running, running.connection() as connection:
        for row in random_rows(20, 5, seed=7):
            reply = connection.post("/predict", {"features": dict(zip(FIVE_NAMES, row.tolist(), strict=True))}).json()
            check_prediction(reply, THREE_CLASSES, "3.2.1")
            served = np.array(list(reply["probabilities"].values()), np.float32)
            assert served.tobytes() == predictor.predict(row[None])[0].tobytes()
        info = connection.request("GET", "/model/info").json()
        assert info["features"] == [{"name": name} for name in FIVE_NAMES]
        check_problem(connection.post("/predict", {"features": [1, 2]}), 422, "features")
