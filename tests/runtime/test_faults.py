"""Faults of the machine beneath: what the server cannot have it does without, says so, and serves on."""

import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from runtime.artifact import CARD_KEY
from tests.runtime.conftest import edited
from tests.serving import RunningServer, running_server, wait_until

ROW = {"features": [0.5] * 22}
CONNECTS = 10_000
MOST_BYTES = 20 * 2**20
FEW_DESCRIPTORS = 80
BOUND_BY_MODES = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: to close is to reset


def version(server: RunningServer) -> str:
    """Return the version that answers."""
    reply = server.request("POST", "/predict", ROW)
    assert reply.status == 200, reply.body
    found: str = reply.json()["model_version"]
    return found


def descriptors(server: RunningServer) -> int:
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_full_disk_keeps_the_old_model(workers: str, model_path: Path, second_path: Path) -> None:
    """The limit of a file's size stands in for the disk's: a write beyond it fails in the same place."""
    with running_server(model_path, wrap=("prlimit", f"--fsize={MOST_BYTES}"), WORKERS=workers) as server:
        padding = f'"training":{{"padding":"{"x" * MOST_BYTES}"'
        model_path.write_bytes(
            edited(second_path.read_bytes(), CARD_KEY, lambda text: text.replace('"training":{', padding, 1))
        )
        for _ in range(2):
            refused = server.request("POST", "/reload", b"")
            assert refused.status == 409, refused.body
            assert "no room for the model file: File too large" in refused.json()["detail"]
            assert version(server) == "1.0.0"
        shutil.copy(second_path, model_path)
        assert server.request("POST", "/reload", b"").status == 200
        assert version(server) == "2.0.0"


def test_a_start_without_room_is_one_clear_line(forest_path: Path) -> None:
    command = ["prlimit", "--fsize=1000", sys.executable, "-m", "tickline", "serve"]
    environ = {**os.environ, "HOST": "127.0.0.1", "PORT": "0", "MODEL_PATH": str(forest_path)}
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert re.fullmatch(r"tickline: /\S+: no room for counters and model file: File too large\n", ended.stderr)


def test_a_folder_that_may_not_be_searched_is_one_line_at_the_start(model_path: Path) -> None:
    command = [*BOUND_BY_MODES, sys.executable, "-m", "tickline", "serve"]
    model_path.parent.chmod(0)
    try:
        environ = {**os.environ, "PORT": "0", "MODEL_PATH": str(model_path)}
        ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    finally:
        model_path.parent.chmod(0o755)
    assert (ended.returncode, ended.stderr) == (1, f"tickline: {model_path}: cannot be read: Permission denied\n")


def test_a_file_that_may_not_be_read_keeps_the_old_model(model_path: Path, second_path: Path) -> None:
    with running_server(model_path, wrap=BOUND_BY_MODES) as server:
        model_path.chmod(0)
        refused = server.request("POST", "/reload", b"")
        assert refused.status == 409
        assert f"{model_path}: cannot be read: Permission denied" in refused.json()["detail"]
        assert version(server) == "1.0.0"
        shutil.copy(second_path, model_path)
        model_path.chmod(0o644)
        assert server.request("POST", "/reload", b"").status == 200
        assert version(server) == "2.0.0"


def test_a_file_that_changes_while_it_is_read_is_served_whole_or_not_at_all(
    model_path: Path, forest_path: Path, second_path: Path
) -> None:
    contents, ended = (forest_path.read_bytes(), second_path.read_bytes()), threading.Event()

    def rewrite() -> None:
        """Write in place, piece by piece, as nobody should."""
        while not ended.is_set():
            for content in contents:
                with model_path.open("wb", buffering=0) as file:
                    for start in range(0, len(content), 8192):
                        file.write(content[start : start + 8192])

    with running_server(model_path) as server:
        writer = threading.Thread(target=rewrite)
        writer.start()
        statuses = []
        try:
            for _ in range(30):
                reply = server.request("POST", "/reload", b"")
                statuses.append(reply.status)
                assert reply.status in (200, 409), reply.body
                assert version(server) in ("1.0.0", "2.0.0")
        finally:
            ended.set()
            writer.join()
        assert 409 in statuses


@pytest.fixture
def counted(forest_path: Path) -> Iterator[tuple[RunningServer, int]]:
    """A server and how many descriptors it has open at rest."""
    with running_server(forest_path) as server:
        assert version(server) == "1.0.0"
        yield server, descriptors(server)


@pytest.mark.parametrize("sent", [b"", b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Le"])
def test_ten_thousand_connects_and_resets_leave_nothing(sent: bytes, counted: tuple[RunningServer, int]) -> None:
    server, before = counted
    for _ in range(CONNECTS // 2):
        with socket.socket() as stream:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            stream.connect(("127.0.0.1", server.port))
            if sent:
                stream.sendall(sent)
    assert version(server) == "1.0.0"
    wait_until(lambda: descriptors(server) <= before + 1, "the server has closed what was reset")
    assert b"requests_in_flight 1.0" in server.request("GET", "/metrics").body


def test_a_server_without_descriptors_answers_those_who_are_connected(model_path: Path) -> None:
    with (
        running_server(model_path, wrap=("prlimit", f"--nofile={FEW_DESCRIPTORS}")) as server,
        server.connection() as connection,
    ):
        assert connection.post("/predict", ROW).status == 200
        with ExitStack() as stack:
            for _ in range(2 * FEW_DESCRIPTORS):
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 10))
            wait_until(lambda: descriptors(server) >= FEW_DESCRIPTORS - 1, "no descriptor is left")
            for _ in range(20):
                assert connection.post("/predict", ROW).status == 200
            refused = connection.request("POST", "/reload")
            assert refused.status == 409
            assert "Too many open files" in refused.json()["detail"]
            assert connection.post("/predict", ROW).json()["model_version"] == "1.0.0"
        wait_until(lambda: descriptors(server) < FEW_DESCRIPTORS // 2, "the connections are closed")
        assert version(server) == "1.0.0"
        assert server.request("POST", "/reload", b"").status == 200
