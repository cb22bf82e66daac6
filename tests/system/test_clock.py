"""A clock that jumps: replies tell the new time, and nothing else changes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.runtime.conftest import export_forest
from tests.serving import RunningServer, running_server, wait_until

pytestmark = pytest.mark.system

ROW = {"features": [0.5] * 22}
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
JUMPS = (timedelta(days=1), timedelta(days=-2), timedelta(days=400), timedelta())


def test_no_reply_and_no_worker_is_lost_when_the_clock_jumps(tmp_path: Path) -> None:
    """The wall clock alone jumps, as when it is set; the monotonic one goes on, as the system promises."""
    assert LIBRARY, "tests/system/install installs libfaketime"
    model, jump = tmp_path / "model.onnx", tmp_path / "jump"
    export_forest(model, "1.0.0")
    jump.write_text("+0")
    faked = {
        **{"LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(jump), "FAKETIME_NO_CACHE": "1"},
        **{"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"},
    }
    short = {"WORKERS": "2", "HANG_SECONDS": "3", "KEEP_ALIVE_SECONDS": "60", "HEADER_SECONDS": "5"}
    with running_server(model, **faked, **short) as server, server.connection() as connection:
        wait_until(lambda: b"workers_ready 2.0" in server.request("GET", "/metrics").body, "two workers are ready")
        before, predictions = started(server), 0
        for by in JUMPS:
            jump.write_text(f"{by.total_seconds():+.0f}")
            deadline = {"X-Request-Deadline-Ms": "5000"}
            reply = connection.post("/predict", ROW, **deadline)
            assert reply.status == 200, reply.body
            told = datetime.fromisoformat(reply.json()["timestamp"])
            assert abs(told - (datetime.now(UTC) + by)) < timedelta(seconds=30)
            for _ in range(20):
                assert connection.post("/predict", ROW).status == 200
            assert server.request("POST", "/reload", b"").status == 200
            predictions += 21
            assert f"\ndrift_rows {predictions}.0\n".encode() in server.request("GET", "/metrics").body
        assert started(server) == before
    assert not any("died" in line for line in server.log)


def started(server: RunningServer) -> int:
    """Return how many workers have been started."""
    return sum("Started server process" in line for line in server.log)
