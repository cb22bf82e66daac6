"""Reload: every worker or none, and never a file that does not hold its certificate."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runtime.artifact import CERTIFICATE_KEY, golden_rows
from runtime.board import COMMITTED, PID, PROPOSED, SERVING, Board
from runtime.comparison import compare_models
from runtime.metrics import WORDS
from tests.runtime.conftest import edited, load_as_served
from tests.serving import Reply, RunningServer, running_server, wait_until

ROW = {"features": [0.5] * 22}


@contextmanager
def all_ready(model_path: Path, workers: int, **settings: str) -> Iterator[RunningServer]:
    """Run a server whose workers are all ready, with its private folder beside the model file."""
    with running_server(model_path, WORKERS=str(workers), TMPDIR=str(model_path.parent), **settings) as running:
        wait_until_ready(running, workers)
        yield running


def wait_until_ready(running: RunningServer, workers: int) -> None:
    line = b"workers_ready %d.0" % workers
    wait_until(lambda: line in running.request("GET", "/metrics").body, "all workers are ready", running.process)


@pytest.fixture
def two_workers(model_path: Path) -> Iterator[RunningServer]:
    with all_ready(model_path, 2) as running:
        yield running


@pytest.fixture
def board(two_workers: RunningServer, model_path: Path) -> Board:
    """The board of the server with two workers."""
    return board_of(model_path)


def board_of(model_path: Path) -> Board:
    (folder,) = model_path.parent.glob("tickline-*")
    return Board(folder, WORDS)


def processes(board: Board) -> list[int]:
    """Return the processes of the workers that serve."""
    return [slot[PID] for slot in board.live().values() if slot[SERVING]]


def kill_and_wait(running: RunningServer, board: Board, process: int) -> None:
    """Kill one of two workers, and return when another one has taken its place."""
    os.kill(process, signal.SIGKILL)
    wait_until(
        lambda: process not in processes(board) and len(processes(board)) == 2, "it is replaced", running.process
    )


@contextmanager
def prepared_but_for_one(
    running: RunningServer, board: Board, document: Any = b""
) -> Iterator[tuple[int, Callable[[], Reply]]]:
    """Reload while one worker is stopped: yield that worker, and what waits for the reply; the proposal is made."""
    stopped = processes(board)[0]
    os.kill(stopped, signal.SIGSTOP)
    replies: list[Reply] = []
    asking = threading.Thread(target=lambda: replies.append(running.request("POST", "/reload", document)))
    asking.start()

    def reply() -> Reply:
        asking.join()
        return replies[0]

    try:
        wait_until(lambda: board.header[PROPOSED] > board.header[COMMITTED], "a model is proposed", running.process)
        yield stopped, reply
    finally:
        if stopped in processes(board):
            os.kill(stopped, signal.SIGCONT)
        asking.join()


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


def other_probabilities(certificate: str) -> str:
    """Return a certificate that claims another probability for its first row."""
    document = json.loads(certificate)
    document["probabilities"] = "AAAAAAAA" + document["probabilities"][8:]
    return json.dumps(document)


@pytest.fixture(scope="module")
def unlucky(forest_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, Path]]:
    """Two workers that are asked to reload files which they refuse, and that file."""
    path = Path(shutil.copy(forest_path, tmp_path_factory.mktemp("unlucky") / "model.onnx"))
    with all_ready(path, 2) as running:
        yield running, path


def count_failures(running: RunningServer) -> int:
    found = re.search(rb'model_reloads_total{result="failure"} (\d+)', running.request("GET", "/metrics").body)
    assert found
    return int(found[1])


@pytest.mark.parametrize("fault", ["missing", "truncated", "foreign", "tampered", "other features", "certificate"])
def test_a_refused_file_leaves_the_old_model(
    fault: str, unlucky: tuple[RunningServer, Path], forest_path: Path, three_class_path: Path
) -> None:
    running, model_path = unlucky
    failures = count_failures(running)
    content = forest_path.read_bytes()
    if fault == "missing":
        model_path.unlink(missing_ok=True)
    elif fault == "truncated":
        model_path.write_bytes(content[:-100])
    elif fault == "foreign":
        model_path.write_bytes(b"MZ" * 5000)
    elif fault == "tampered":
        middle = len(content) // 2
        model_path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif fault == "certificate":
        model_path.write_bytes(edited(content, CERTIFICATE_KEY, other_probabilities))
    else:
        shutil.copy(three_class_path, model_path)
    reply = running.request("POST", "/reload", b"")
    assert reply.status == 409
    assert reply.headers["content-type"] == "application/problem+json"
    assert "model.onnx" in reply.json()["detail"]
    assert "the served model stays" in reply.json()["detail"]
    assert versions(running, 10) == {"1.0.0"}
    assert count_failures(running) == failures + 1


def test_the_reply_says_what_the_new_model_changes(
    two_workers: RunningServer, model_path: Path, second_path: Path
) -> None:
    old, new = load_as_served(model_path), load_as_served(second_path)
    row = load_as_served(second_path).predictor.example
    rows, _ = golden_rows(new.card, new.predictor.certificate)
    golden = compare_models(old.predictor.engine, new.predictor.engine, rows)
    recent = compare_models(old.predictor.engine, new.predictor.engine, row[None])
    body = {"features": row.tolist()}

    def sampled() -> bool:
        for _ in range(20):
            assert two_workers.request("POST", "/predict", body).status == 200
            assert two_workers.request("POST", "/predict/batch", {"features": [body["features"]] * 3}).status == 200
        reply = two_workers.request("POST", "/reload", b"").json()
        assert reply["comparison"]["golden"]["flips"] == 0
        return bool(reply["comparison"]["recent"]["rows"] >= 5)

    wait_until(sampled, "rows are sampled")
    shutil.copy(second_path, model_path)
    found = two_workers.request("POST", "/reload", b"").json()["comparison"]
    assert golden.flips > 0
    assert found["golden"] == {name: getattr(golden, name) for name in golden.__struct_fields__}
    assert found["recent"]["rows"] >= 5
    assert found["recent"]["flips"] == recent.flips * found["recent"]["rows"]
    for figure in ("max_probability_change", "mean_probability_change"):  # all recent rows are the same
        assert found["recent"][figure] == pytest.approx(recent.max_probability_change, abs=1e-6)
    metrics = two_workers.request("GET", "/metrics").body.decode()
    assert f'model_reload_label_flips{{sample="golden"}} {golden.flips}.0' in metrics
    assert f'model_reload_compared_rows{{sample="recent"}} {found["recent"]["rows"]}.0' in metrics
    line = rf"reloaded in 2 worker\(s\) .*: version 2.0.0 after 1.0.0; golden rows: .* {golden.flips} flips"
    two_workers.wait_for_line(line)


def test_rows_that_are_kept_are_neither_logged_nor_sent(model_path: Path, second_path: Path) -> None:
    secret = 1234.5677
    with all_ready(model_path, 1, LOG_LEVEL="DEBUG", ACCESS_LOG="1") as running:
        shutil.copy(second_path, model_path)

        def kept() -> bool:
            assert running.request("POST", "/predict", {"features": [secret] * 22}).status == 200
            answers.append(running.request("POST", "/reload", b""))
            return bool(answers[-1].json()["comparison"]["recent"]["rows"])

        answers: list[Reply] = []
        wait_until(kept, "a row is kept")
        answers += [running.request("GET", path) for path in ("/", "/metrics", "/model/info", "/openapi.json", "/v2")]
        assert running.stop() == 0
    assert b"1234.5" not in b"".join(answer.body for answer in answers)
    assert "1234.5" not in "".join(running.log)


def test_no_rows_are_kept_where_none_may_be(model_path: Path) -> None:
    with all_ready(model_path, 1, RECENT_ROWS="0") as running:
        for _ in range(20):
            running.request("POST", "/predict", ROW)
        assert running.request("POST", "/reload", b"").json()["comparison"]["recent"]["rows"] == 0


@pytest.mark.parametrize(("bound", "value"), [("max_flips", 0), ("max_probability_change", 0.001)])
def test_a_model_that_changes_too_much_is_refused(
    bound: str, value: float, two_workers: RunningServer, model_path: Path, second_path: Path, board: Board
) -> None:
    assert two_workers.request("POST", "/reload", {bound: value}).status == 200  # it is the same model
    shutil.copy(second_path, model_path)
    reply = two_workers.request("POST", "/reload", {bound: value})
    assert reply.status == 409
    assert f"{bound}: expected at most {value}, got" in reply.json()["detail"]
    assert reply.json()["comparison"]["golden"]["flips"] > 0
    assert versions(two_workers, 10) == {"1.0.0"}
    assert not board.model_path(board.header[PROPOSED]).exists()
    assert 'model_reload_label_flips{sample="golden"} 0.0' not in two_workers.request("GET", "/metrics").body.decode()
    assert two_workers.request("POST", "/reload", {"max_flips": 10**6, "max_probability_change": 1}).status == 200
    assert versions(two_workers, 10) == {"2.0.0"}


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{", 400, None),
        (b"[]", 422, "body"),
        (b'{"max_flips": -1}', 422, "max_flips"),
        (b'{"max_flips": 1.5}', 422, "max_flips"),
        (b'{"max_probability_change": "x"}', 422, "max_probability_change"),
        (b'{"max_probability_change": 2}', 422, "max_probability_change"),
        (b'{"model": "other"}', 422, "model"),
        (b'{"version": 1}', 422, "version"),
        (b'{"version": "1.0.0", "rollback": true}', 422, "version"),
        (b'{"rollback": true}', 409, None),
    ],
)
def test_a_body_that_asks_for_nothing_known_is_refused(
    body: bytes, status: int, field: str | None, server: RunningServer
) -> None:
    reply = server.request("POST", "/reload", body)
    assert (reply.status, reply.json().get("field")) == (status, field), reply.body


def test_a_reload_goes_back_without_the_file(
    two_workers: RunningServer, model_path: Path, second_path: Path, board: Board
) -> None:
    def reload(**wish: Any) -> Reply:
        return two_workers.request("POST", "/reload", wish)

    first = two_workers.request("GET", "/model/info").json()
    assert [kept["version"] for kept in first["kept_versions"]] == ["1.0.0"]
    refused = reload(rollback=True)
    assert refused.status == 409
    assert refused.json()["detail"] == "the served model stays: there is no earlier one to go back to"
    shutil.copy(second_path, model_path)
    assert reload().status == 200
    model_path.unlink()
    back = reload(rollback=True)
    assert (back.status, back.json()["model_version"], back.json()["previous_version"]) == (200, "1.0.0", "2.0.0")
    assert back.json()["sha256"] == first["sha256"]
    assert versions(two_workers) == {"1.0.0"}
    kill_and_wait(two_workers, board, processes(board)[0])
    assert versions(two_workers) == {"1.0.0"}  # and not what was in the file
    kept = two_workers.request("GET", "/model/info").json()["kept_versions"]
    assert [(each["version"], each["served"], each["rollback"]) for each in kept] == [
        ("2.0.0", False, False),
        ("1.0.0", True, False),
    ]
    assert reload(version="3").status == 409
    refused = reload(version="2.0.0", max_flips=0)
    assert refused.status == 409
    assert refused.json()["comparison"]["golden"]["flips"] > 0
    assert reload(version=kept[0]["sha256"], max_flips=10**6).json()["model_version"] == "2.0.0"
    assert reload(rollback=True).json()["model_version"] == "1.0.0"
    assert reload(version="2.0.0").json()["model_version"] == "2.0.0"
    assert versions(two_workers) == {"2.0.0"}
    assert two_workers.request("POST", "/reload", b"").status == 409  # there is no file
    assert two_workers.stop() == 0
    assert not board.folder.exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_asks_for_a_reload(workers: int, model_path: Path, second_path: Path) -> None:
    with all_ready(model_path, workers) as running:
        before = processes(board_of(model_path))
        shutil.copy(second_path, model_path)
        running.process.send_signal(signal.SIGHUP)
        running.wait_for_line(rf"reloaded in {workers} worker\(s\) .*: version 2.0.0 after 1.0.0")
        assert versions(running, 20) == {"2.0.0"}
        model_path.write_bytes(b"no model")
        running.process.send_signal(signal.SIGHUP)
        running.wait_for_line("WARNING .* the served model stays: .*model.onnx: no seal")
        assert versions(running, 20) == {"2.0.0"}
        assert processes(board_of(model_path)) == before
        metrics = running.request("GET", "/metrics").body.decode()
        assert 'model_reloads_total{result="success"} 1.0' in metrics
        assert 'model_reloads_total{result="failure"} 1.0' in metrics


def test_a_worker_that_is_killed_while_it_prepares_keeps_all_on_the_old_model(
    two_workers: RunningServer, model_path: Path, second_path: Path, board: Board
) -> None:
    shutil.copy(second_path, model_path)
    with prepared_but_for_one(two_workers, board) as (stopped, reply):
        kill_and_wait(two_workers, board, stopped)
        answer = reply()
    assert answer.status == 409
    assert f"worker process {stopped} ended before it had prepared the model" in answer.json()["detail"]
    assert versions(two_workers) == {"1.0.0"}
    assert two_workers.request("POST", "/reload", b"").json()["workers"] == 2
    assert versions(two_workers) == {"2.0.0"}


def test_a_reload_whose_leader_is_killed_is_withdrawn(
    two_workers: RunningServer, model_path: Path, second_path: Path, board: Board
) -> None:
    shutil.copy(second_path, model_path)
    stopped, leader = processes(board)
    os.kill(stopped, signal.SIGSTOP)
    with two_workers.raw() as stream:
        stream.sendall(b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        wait_until(lambda: board.header[PROPOSED] > board.header[COMMITTED], "it is proposed", two_workers.process)
        os.kill(leader, signal.SIGKILL)
        assert stream.recv(1) == b""
    os.kill(stopped, signal.SIGCONT)
    two_workers.wait_for_line("the worker that led a reload has ended; model 2 is withdrawn")
    wait_until(lambda: leader not in processes(board) and len(processes(board)) == 2, "it is replaced")
    assert versions(two_workers) == {"1.0.0"}
    assert two_workers.request("POST", "/reload", b"").json()["workers"] == 2
    assert versions(two_workers) == {"2.0.0"}


def test_a_file_that_is_replaced_meanwhile_changes_nothing(
    two_workers: RunningServer, model_path: Path, second_path: Path, board: Board
) -> None:
    shutil.copy(second_path, model_path)
    with prepared_but_for_one(two_workers, board) as (stopped, reply):
        model_path.write_bytes(b"no model")
        os.kill(stopped, signal.SIGCONT)
        answer = reply()
    assert (answer.status, answer.json()["model_version"], answer.json()["workers"]) == (200, "2.0.0", 2)
    kill_and_wait(two_workers, board, stopped)
    assert versions(two_workers) == {"2.0.0"}  # and not what is in the file


def test_a_file_that_is_written_while_it_is_read_is_served_whole_or_not_at_all(
    two_workers: RunningServer, model_path: Path, forest_path: Path, second_path: Path
) -> None:
    done = threading.Event()
    contents = [path.read_bytes() for path in (forest_path, second_path)]

    def write() -> None:
        while not done.is_set():
            for content in contents:
                with model_path.open("wb", buffering=0) as file:
                    for start in range(0, len(content), 20_000):
                        file.write(content[start : start + 20_000])

    writer = threading.Thread(target=write)
    writer.start()
    served = {"1.0.0"}
    statuses = []
    try:
        for _ in range(15):
            reply = two_workers.request("POST", "/reload", b"")
            statuses.append(reply.status)
            if reply.status == 200:
                served = {reply.json()["model_version"]}
            else:
                assert reply.status == 409, reply.body
            assert versions(two_workers, 4) == served
    finally:
        done.set()
        writer.join()
    assert 409 in statuses


def test_a_worker_that_cannot_load_the_model_keeps_all_on_the_old_one(
    two_workers: RunningServer, model_path: Path, second_path: Path, board: Board
) -> None:
    shutil.copy(second_path, model_path)
    unlucky = processes(board)[0]
    before = resource.prlimit(unlucky, resource.RLIMIT_NOFILE)
    resource.prlimit(unlucky, resource.RLIMIT_NOFILE, (3, before[1]))  # it can open no file, and take no connection
    try:
        reply = two_workers.request("POST", "/reload", b"")
    finally:
        resource.prlimit(unlucky, resource.RLIMIT_NOFILE, before)
    assert reply.status == 409
    assert f"worker process {unlucky}: " in reply.json()["detail"]
    two_workers.wait_for_line("model 2 is refused: .*Too many open files")
    assert versions(two_workers) == {"1.0.0"}
    assert two_workers.request("POST", "/reload", b"").json()["workers"] == 2
    assert versions(two_workers) == {"2.0.0"}


def test_a_model_file_for_which_there_is_no_room_is_refused(
    two_workers: RunningServer, model_path: Path, board: Board
) -> None:
    for process in processes(board):
        resource.prlimit(process, resource.RLIMIT_FSIZE, (1000, 1000))
    reply = two_workers.request("POST", "/reload", b"")
    assert reply.status == 409
    assert "no room for the model file: File too large" in reply.json()["detail"]
    assert versions(two_workers, 10) == {"1.0.0"}


STUCK = """
import sys
from pathlib import Path
from runtime.board import Board
from runtime.metrics import WORDS
Board(Path(sys.argv[1]), WORDS).claim()
print("claimed", flush=True)
sys.stdin.read()
"""


def test_no_reload_waits_for_a_worker_that_does_not_come_up(
    two_workers: RunningServer, model_path: Path, second_path: Path, board: Board
) -> None:
    """A process that has taken a slot, as a worker does first, and goes no further stands in for one that hangs there.

    A worker that ends there again and again looks like it: there is always one that has just begun.
    """
    shutil.copy(second_path, model_path)
    command = [sys.executable, "-c", STUCK, str(board.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starting:
        try:
            assert starting.stdout is not None
            assert starting.stdout.readline() == "claimed\n"
            assert len(board.live()) == 3
            reply = two_workers.request("POST", "/reload", b"")
            assert starting.poll() is None
        finally:
            starting.kill()
    assert (reply.status, reply.json()["workers"]) == (200, 2), reply.body
    assert versions(two_workers) == {"2.0.0"}
