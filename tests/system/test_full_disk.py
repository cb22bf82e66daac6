"""A disk that is really full: a small file system in memory, which the server alone sees and another file fills."""

import os
import shutil
import signal
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.runtime.conftest import export_forest
from tests.runtime.test_faults import version
from tests.serving import running_server, wait_until

pytestmark = pytest.mark.system

ON_SMALL_DISK = (
    "unshare",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    'mount -t tmpfs -o size=2m small "$0" && exec "$@"',
)
PIECE = bytes(4096)


def fill(disk: Path) -> Path:
    """Write a file until nothing more fits, and return it."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(PIECE) == len(PIECE):
            pass
    assert os.statvfs(disk).f_bavail == 0
    return filler


def test_a_reload_on_a_full_disk_keeps_the_old_model_in_every_worker(tmp_path: Path) -> None:
    model, second, disk = tmp_path / "model.onnx", tmp_path / "second.onnx", tmp_path / "disk"
    export_forest(model, "1.0.0")
    export_forest(second, "2.0.0", seed=9)
    disk.mkdir()
    with (
        running_server(model, wrap=(*ON_SMALL_DISK, str(disk)), WORKERS="2", TMPDIR=str(disk)) as server,
        server.connection() as connection,
        ExitStack() as stack,
    ):
        wait_until(lambda: b"workers_ready 2.0" in server.request("GET", "/metrics").body, "two workers are ready")
        seen = Path(f"/proc/{server.process.pid}/root{disk}")
        assert len(list(seen.glob("tickline-*/board"))) == 1
        filler = fill(seen)
        stack.callback(filler.unlink, missing_ok=True)
        shutil.copy(second, model)
        for _ in range(3):
            refused = server.request("POST", "/reload", b"")
            assert refused.status == 409, refused.body
            assert "no room for the model file: No space left on device" in refused.json()["detail"]
            assert connection.post("/predict", {"features": [0.5] * 22}).json()["model_version"] == "1.0.0"
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        started = sum("Application startup complete" in line for line in server.log)
        os.kill(int(children[-1]), signal.SIGKILL)
        wait_until(
            lambda: sum("Application startup complete" in line for line in server.log) > started, "it is replaced"
        )
        assert {version(server) for _ in range(20)} == {"1.0.0"}
        filler.unlink()
        reply = server.request("POST", "/reload", b"")
        assert (reply.status, reply.json()["workers"]) == (200, 2), reply.body
        assert {version(server) for _ in range(20)} == {"2.0.0"}
