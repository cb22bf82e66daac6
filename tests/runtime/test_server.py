"""A server's life: it starts only on a model that it can trust, counts over all workers, and ends in order."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.artifact import CARD_KEY, CERTIFICATE_KEY, read_sealed
from runtime.server import announcement
from tests.runtime.conftest import edited
from tests.serving import DEADLINE_SECONDS, RunningServer, free_port, running_server, wait_until

ROW = {"features": [0.5] * 22}


def start_and_fail(**settings: str) -> tuple[int, str]:
    """Run `tickline serve`, which must end by itself; return its status and its standard error."""
    environ = {**os.environ, "HOST": "127.0.0.1", "PORT": "0", **settings}
    command = [sys.executable, "-m", "tickline", "serve"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("fault", ["missing", "truncated", "foreign", "tampered"])
def test_it_does_not_start_on_a_file_that_it_cannot_trust(
    fault: str, workers: str, forest_path: Path, tmp_path: Path
) -> None:
    content, path = forest_path.read_bytes(), tmp_path / "model.onnx"
    if fault == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif fault == "foreign":
        path.write_bytes(b"\x08\x07" * 1000)
    elif fault == "tampered":
        path.write_bytes(content.replace(b"SMA_5", b"SMA_6", 1))
    status, error = start_and_fail(MODEL_PATH=str(tmp_path), WORKERS=workers)
    assert status == 1
    assert error.count("\n") == 1
    assert error.startswith(f"tickline: {path}: ")


def test_a_file_that_is_too_large_or_not_pinned_is_not_served(forest_path: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(forest_path, tmp_path / "model.onnx"))
    sha256, size = read_sealed(path)[1], path.stat().st_size
    for settings, message in (
        ({"MAX_MODEL_BYTES": str(size - 1)}, f"MAX_MODEL_BYTES: expected at most {size - 1} bytes, got {size}"),
        ({"MODEL_SHA256": "0" * 64}, f"MODEL_SHA256: expected sha256 {'0' * 64}, got {sha256}"),
    ):
        assert start_and_fail(MODEL_PATH=str(path), **settings) == (1, f"tickline: {path}: {message}\n")
    pins = f"{'0' * 64}, {sha256.upper()}"
    with running_server(path, MAX_MODEL_BYTES=str(size), MODEL_SHA256=pins, WORKERS="2") as running:
        assert running.request("POST", "/reload", b"").status == 200
        for content, message in (
            (path.read_bytes() + b"\0", f"MAX_MODEL_BYTES: expected at most {size} bytes, got {size + 1}"),
            (edited(path.read_bytes(), CARD_KEY, lambda text: text.replace("1.0.0", "2")), "MODEL_SHA256: expected"),
        ):
            path.write_bytes(content)
            refused = running.request("POST", "/reload", b"")
            assert refused.status == 409
            assert message in refused.json()["detail"]
            assert running.request("GET", "/model/info").json()["sha256"] == sha256
            shutil.copy(forest_path, path)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_does_not_start_on_a_certificate_that_fails(workers: str, forest_path: Path, tmp_path: Path) -> None:
    forged = edited(
        forest_path.read_bytes(), CERTIFICATE_KEY, lambda text: text.replace('"tolerance":', '"tolerance":-', 1)
    )
    (tmp_path / "model.onnx").write_bytes(forged)
    status, error = start_and_fail(MODEL_PATH=str(tmp_path), WORKERS=workers)
    assert status != 0
    assert "certificate: predicted" in error


def test_a_busy_port_is_one_clear_line(forest_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, error = start_and_fail(MODEL_PATH=str(forest_path), PORT=port)
    assert status == 1
    assert error == f"tickline: HOST 127.0.0.1, PORT {port}: cannot listen there: Address already in use\n"


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"PORT": "45111", "METRICS_PORT": "45111"}, "METRICS_PORT: expected another port than PORT, got 45111"),
        ({"PORT": "45111", "GRPC_PORT": "45111"}, "GRPC_PORT: expected another port than PORT, got 45111"),
        (
            {"METRICS_PORT": "45111", "GRPC_PORT": "45111"},
            "GRPC_PORT: expected another port than METRICS_PORT, got 45111",
        ),
        ({"HOST": "a" * 64}, f"HOST {'a' * 64}, PORT 0: cannot listen there: no name of a host"),
        ({"HOST": "\n"}, "HOST: expected an address, got '\\n'"),
        ({"PREDICT_TOKENS": ","}, "PREDICT_TOKENS: expected a token, or nothing, got commas alone"),
        ({"RELOAD_TOKEN": ",,"}, "RELOAD_TOKEN: expected a token, or nothing, got commas alone"),
    ],
)
def test_settings_that_contradict_each_other_are_one_clear_line(
    environ: dict[str, str], told: str, forest_path: Path
) -> None:
    assert start_and_fail(**{"MODEL_PATH": str(forest_path), "PORT": "0"} | environ) == (1, f"tickline: {told}\n")


def test_a_bad_setting_is_one_clear_line() -> None:
    status, error = start_and_fail(WORKERS="many")
    assert (status, error) == (1, "tickline: WORKERS: expected an integer from 1 to 64, got 'many'\n")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_ends_in_order_and_leaves_nothing(workers: str, forest_path: Path, tmp_path: Path) -> None:
    with running_server(forest_path, WORKERS=workers, TMPDIR=str(tmp_path)) as running:
        assert [entry.name.startswith("tickline-") for entry in tmp_path.iterdir()] == [True]
        assert running.request("POST", "/predict", ROW).status == 200
        assert running.stop() == 0
    assert not list(tmp_path.iterdir())


def counted(running: RunningServer) -> float:
    """Return the number of predictions that a scrape shows."""
    lines = running.request("GET", "/metrics").body.decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("predictions_total{"))


@contextmanager
def starting_server(model_path: Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """Run `tickline serve` without waiting for it."""
    environ = {**os.environ, "HOST": "127.0.0.1", "PORT": "0", "MODEL_PATH": str(model_path), **settings}
    command = [sys.executable, "-m", "tickline", "serve"]
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_says_that_it_listens_when_a_worker_serves(workers: str, forest_path: Path) -> None:
    metrics_port = free_port()
    with starting_server(forest_path, WORKERS=workers, METRICS_PORT=str(metrics_port)) as process:
        running = RunningServer(process)
        assert running.request("GET", "/health/ready").status == 200
        with socket.create_connection(("127.0.0.1", metrics_port), DEADLINE_SECONDS):
            pass
        assert running.stop() == 0
        assert sum("listening on" in line for line in running.log) == 1


@pytest.mark.parametrize(
    ("host", "address", "browser"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "0.0.0.0", "localhost"),
        ("::1", "[::1]", "[::1]"),
        ("::", "[::]", "localhost"),
    ],
)
def test_the_log_says_where_a_browser_finds_it(host: str, address: str, browser: str) -> None:
    told = announcement(host, 5000, 2, secure=True)
    assert told == (
        f"listening on https://{address}:5000 with 2 worker(s); a browser finds it at https://{browser}:5000/"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_counts_from_the_first_line_on(workers: str, number: int, forest_path: Path) -> None:
    with starting_server(forest_path, WORKERS=workers) as process:
        assert process.stderr is not None
        try:
            assert "Started " in process.stderr.readline()
            process.send_signal(number)
            process.communicate(timeout=DEADLINE_SECONDS)
            assert process.returncode == 0
        finally:
            process.kill()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_serves_with_its_streams_closed(workers: str, forest_path: Path) -> None:
    """As a program starts it that has closed them; standard error stays, which tells the port."""
    closing = ("sh", "-c", 'exec "$0" "$@" <&- >&-')
    with running_server(forest_path, wrap=closing, WORKERS=workers) as running:
        assert running.request("POST", "/predict", ROW).status == 200
        assert running.stop() == 0


def test_counts_are_of_all_workers_and_survive_one(forest_path: Path) -> None:
    with running_server(forest_path, WORKERS="2") as running:
        wait_until(lambda: b"workers_ready 2.0" in running.request("GET", "/metrics").body, "two workers are ready")
        for _ in range(40):
            assert running.request("POST", "/predict", ROW).status == 200
        wait_until(lambda: counted(running) == 40, "all replies are counted")  # a reply is counted after it was written
        assert {counted(running) for _ in range(20)} == {40.0}
        victim = int(running.wait_for_line(r"Started server process \[(\d+)\]")[1])
        os.kill(victim, signal.SIGKILL)
        running.wait_for_line(rf"Child process \[{victim}\] died")
        wait_until(lambda: b"workers_ready 2.0" in running.request("GET", "/metrics").body, "the worker is replaced")
        assert counted(running) == 40.0
        for _ in range(20):
            assert running.request("POST", "/predict", ROW).status == 200
        wait_until(lambda: counted(running) == 60, "all replies are counted")
        assert {counted(running) for _ in range(20)} == {60.0}


def test_workers_stop_when_their_supervisor_is_gone(forest_path: Path) -> None:
    with running_server(forest_path, WORKERS="2") as running:
        wait_until(lambda: b"workers_ready 2.0" in running.request("GET", "/metrics").body, "two workers are ready")
        running.process.kill()
        running.wait_until_silent()
        assert sum("the supervisor is gone" in line for line in running.log) == 2
        with pytest.raises(ConnectionRefusedError):
            running.request("GET", "/health/ready")


def test_a_worker_holds_nothing_of_training_in_memory(forest_path: Path) -> None:
    with running_server(forest_path) as running:
        running.request("POST", "/predict", ROW)
        mapped = Path(f"/proc/{running.process.pid}/maps").read_text()
    assert "onnxruntime" in mapped
    for library in ("/sklearn/", "/pandas/", "/scipy/", "/matplotlib/", "/llvmlite/", "/onnx/"):
        assert library not in mapped
