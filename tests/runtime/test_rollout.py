"""Reload: every worker or none, and never a file that does not hold its certificate."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.conftest import export_forest
from tests.serving import RunningServer, running_server, wait_until

ROW = {"features": [0.5] * 22}


@pytest.fixture(scope="module")
def second_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another forest, version 2.0.0."""
    path = tmp_path_factory.mktemp("second") / "model.onnx"
    export_forest(path, "2.0.0", seed=9)
    return path


@pytest.fixture
def model_path(forest_path: Path, tmp_path: Path) -> Path:
    """A copy of the first forest that a test may replace."""
    return Path(shutil.copy(forest_path, tmp_path / "model.onnx"))


@pytest.fixture
def two_workers(model_path: Path) -> Iterator[RunningServer]:
    with running_server(model_path, WORKERS="2") as running:
        wait_until(lambda: b"workers_ready 2.0" in running.request("GET", "/metrics").body, "two workers are ready")
        yield running


def versions(running: RunningServer, connections: int = 40) -> set[str]:
    """Return the versions that answer over many new connections, which the system spreads over the workers."""
    return {running.request("POST", "/predict", ROW).json()["model_version"] for _ in range(connections)}


def test_all_workers_serve_the_new_model_when_the_reply_comes(
    two_workers: RunningServer, model_path: Path, second_path: Path
) -> None:
    assert versions(two_workers) == {"1.0.0"}
    shutil.copy(second_path, model_path)
    reply = two_workers.request("POST", "/reload", b"")
    assert reply.status == 200, reply.body
    assert reply.json()["workers"] == 2
    assert reply.json()["previous_version"] == "1.0.0"
    assert versions(two_workers) == {"2.0.0"}
    metrics = two_workers.request("GET", "/metrics").body.decode()
    assert 'model_reloads_total{result="success"} 1.0' in metrics
    assert 'version="2.0.0"' in metrics


def test_no_prediction_fails_and_no_reply_mixes_models_while_reloading(
    two_workers: RunningServer, model_path: Path, second_path: Path, forest_path: Path
) -> None:
    answers: dict[str, set[str]] = {}
    failures: list[bytes] = []
    done = threading.Event()

    def call() -> None:
        with two_workers.connection() as connection:
            while not done.is_set():
                reply = connection.post("/predict", ROW)
                if reply.status != 200:
                    failures.append(reply.body)
                else:
                    document = reply.json()
                    answers.setdefault(document["model_version"], set()).add(str(document["probabilities"]))

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        for source in (second_path, forest_path, second_path):
            shutil.copy(source, model_path)
            assert two_workers.request("POST", "/reload", b"").status == 200
    finally:
        done.set()
        for caller in callers:
            caller.join()
    assert not failures
    assert all(len(probabilities) == 1 for probabilities in answers.values())
    assert set(answers) >= {"1.0.0", "2.0.0"}


@pytest.mark.parametrize("fault", ["missing", "truncated", "foreign", "tampered", "other features"])
def test_a_refused_file_leaves_the_old_model(
    fault: str, two_workers: RunningServer, model_path: Path, three_class_path: Path
) -> None:
    content = model_path.read_bytes()
    if fault == "missing":
        model_path.unlink()
    elif fault == "truncated":
        model_path.write_bytes(content[:-100])
    elif fault == "foreign":
        model_path.write_bytes(b"MZ" * 5000)
    elif fault == "tampered":
        middle = len(content) // 2
        model_path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    else:
        shutil.copy(three_class_path, model_path)
    reply = two_workers.request("POST", "/reload", b"")
    assert reply.status == 409
    assert reply.headers["content-type"] == "application/problem+json"
    assert "model.onnx" in reply.json()["detail"]
    assert "serves on" in reply.json()["detail"]
    assert versions(two_workers, 10) == {"1.0.0"}
    assert 'model_reloads_total{result="failure"} 1.0' in two_workers.request("GET", "/metrics").body.decode()
