"""The engine on the wire: which one serves, why, and that a reload keeps to it."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.artifact import compare
from runtime.model import load_model
from tests.runtime.conftest import random_rows
from tests.runtime.test_server import start_and_fail
from tests.serving import RunningServer, running_server, wait_until


def served_by(running: RunningServer) -> dict[str, Any]:
    engine: dict[str, Any] = running.request("GET", "/model/info").json()["engine"]
    return engine


def workers_by_engine(running: RunningServer) -> list[str]:
    """Return the lines of the metric that says which engine how many workers run."""
    lines = running.request("GET", "/metrics").body.decode().splitlines()
    return [line for line in lines if line.startswith("workers_by_engine{")]


@pytest.mark.parametrize("kind", ["forest", "boosting", "three_class"])
def test_auto_serves_compiled_with_the_answers_of_onnxruntime(kind: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(f"{kind}_path")
    reference = load_model(path, threads=1, wish="ONNXRUNTIME").predictor
    rows = random_rows(60, reference.engine.features, seed=21)
    expected = reference.predict(rows)
    with running_server(path) as running, running.connection() as connection:
        engine = served_by(running)
        assert (engine["name"], engine["reason"]) == ("compiled", "proven")
        assert engine["agreement"]["found"]["label_flips"] == 0
        assert engine["agreement"]["reference"].startswith("onnxruntime ")
        assert engine["memory_bytes"] > 0
        batch = connection.post("/predict/batch", {"features": rows.tolist()}).json()["predictions"]
        single = [connection.post("/predict", {"features": row.tolist()}).json() for row in rows]
        assert workers_by_engine(running) == ['workers_by_engine{engine="compiled",reason="proven"} 1.0']
        assert 'engine="compiled"' in running.request("GET", "/metrics").body.decode().partition("model_info{")[2]
        running.wait_for_line(r"engine compiled \S+ runs \S+ \S+ \(proven\): \d+ golden rows have the labels of onnxr")
    for answers in (batch, single):
        found = np.array([list(answer["probabilities"].values()) for answer in answers])
        compared = compare(found, expected)
        assert compared.max_probability_difference < 1e-6
        assert [answer["prediction"] for answer in answers] == expected.argmax(axis=1).tolist()


def test_what_is_not_supported_is_served_by_onnxruntime_and_says_why(naive_bayes_path: Path) -> None:
    with running_server(naive_bayes_path) as running:
        engine = served_by(running)
        assert (engine["name"], engine["reason"], engine["agreement"]) == ("onnxruntime", "unsupported", None)
        assert "ReduceLogSumExp" in engine["detail"]
        assert workers_by_engine(running) == ['workers_by_engine{engine="onnxruntime",reason="unsupported"} 1.0']
        running.wait_for_line(r"engine onnxruntime \S+ runs .* \(unsupported\): .*ReduceLogSumExp")
        assert running.request("POST", "/predict", {"features": [0.5] * 22}).status == 200


@pytest.mark.parametrize("workers", ["1", "2"])
def test_compiled_refuses_to_start_in_one_line_that_names_the_nodes(workers: str, naive_bayes_path: Path) -> None:
    status, error = start_and_fail(MODEL_PATH=str(naive_bayes_path), ENGINE="compiled", WORKERS=workers)
    assert status == 1
    assert error.count("\n") == 1
    assert error.startswith(f"tickline: {naive_bayes_path}: ENGINE compiled: ")
    for operator in ("ReduceLogSumExp", "Pow"):
        assert operator in error


def test_a_reload_changes_the_engine_of_all_workers_with_the_model(
    forest_path: Path, naive_bayes_path: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(forest_path, tmp_path / "model.onnx"))
    with running_server(path, WORKERS="2") as running:
        wait_until(lambda: b"workers_ready 2.0" in running.request("GET", "/metrics").body, "two workers are ready")
        for source, engine, reason in (
            (forest_path, "compiled", "proven"),
            (naive_bayes_path, "onnxruntime", "unsupported"),
            (forest_path, "compiled", "proven"),
        ):
            shutil.copy(source, path)
            assert running.request("POST", "/reload", b"").status == 200
            expected = [f'workers_by_engine{{engine="{engine}",reason="{reason}"}} 2.0']
            for _ in range(10):  # new connections, which go to either worker
                assert workers_by_engine(running) == expected
                assert served_by(running)["name"] == engine


def test_under_compiled_a_reload_refuses_what_is_not_supported(
    forest_path: Path, naive_bayes_path: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(forest_path, tmp_path / "model.onnx"))
    with running_server(path, ENGINE="compiled") as running:
        assert served_by(running)["name"] == "compiled"
        shutil.copy(naive_bayes_path, path)
        reply = running.request("POST", "/reload", b"")
        assert reply.status == 409
        assert "ENGINE compiled: " in reply.json()["detail"]
        assert "ReduceLogSumExp" in reply.json()["detail"]
        assert served_by(running)["name"] == "compiled"
        assert running.request("GET", "/model/info").json()["name"] == "random_forest"
        assert running.request("POST", "/predict", {"features": [0.5] * 22}).status == 200


def test_onnxruntime_is_served_where_it_is_asked_for(forest_path: Path) -> None:
    with running_server(forest_path, ENGINE="onnxruntime") as running:
        engine = served_by(running)
        assert (engine["name"], engine["reason"]) == ("onnxruntime", "asked")
        assert workers_by_engine(running) == ['workers_by_engine{engine="onnxruntime",reason="asked"} 1.0']
        predictor = load_model(forest_path, threads=1, wish="ONNXRUNTIME").predictor
        rows = random_rows(30, 22, seed=4)
        with running.connection() as connection:
            batch = connection.post("/predict/batch", {"features": rows.tolist()}).json()["predictions"]
            single = [connection.post("/predict", {"features": row.tolist()}).json() for row in rows]
        for answers in (batch, single):
            found = np.array([list(answer["probabilities"].values()) for answer in answers], np.float32)
            assert found.tobytes() == predictor.predict(rows).tobytes()
        assert "/compiled/" not in Path(f"/proc/{running.process.pid}/maps").read_text()


def test_rows_that_come_together_have_the_bits_of_rows_alone_by_onnxruntime(three_class_path: Path) -> None:
    predictor = load_model(three_class_path, threads=1, wish="ONNXRUNTIME").predictor
    rows = random_rows(50, 5, seed=7)
    bodies = [json.dumps({"features": row.tolist()}).encode() for row in rows]
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with running_server(three_class_path, ENGINE="onnxruntime") as running, running.raw() as stream:
        stream.sendall(b"".join(head % len(body) + body for body in bodies))
        received = b""
        while received.count(b'"timestamp"') < len(rows) or not received.endswith(b"}"):
            received += stream.recv(1 << 16)
    for row, found in zip(rows, re.findall(rb'"probabilities":(\{.*?\}),"model_version"', received), strict=True):
        values = np.array(list(json.loads(found).values()), np.float32)
        assert values.tobytes() == predictor.predict(row[None])[0].tobytes()


@pytest.mark.parametrize(("wish", "checked"), [("yes", 1), ("no", None)])
def test_a_kept_reference_checks_batches(wish: str, checked: int | None, forest_path: Path) -> None:
    with running_server(forest_path, KEEP_REFERENCE=wish) as running:
        assert running.request("POST", "/predict/batch", {"features": random_rows(100, 22, 0).tolist()}).status == 200
        found = served_by(running)["reference_checks"]
        assert (found and found["rows"]) == checked
        assert json.dumps(found) == "null" or found["label_flips"] == 0
