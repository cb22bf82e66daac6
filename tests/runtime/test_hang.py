"""A worker that answers no more is replaced, and the others answer meanwhile."""

import os
import re
import signal
from contextlib import suppress
from pathlib import Path

from tests.runtime.conversations import ROW
from tests.serving import running_server, wait_until


def test_a_worker_that_is_stopped_is_replaced(forest_path: Path) -> None:
    with running_server(forest_path, WORKERS="2", HANG_SECONDS="3") as running:
        wait_until(lambda: len(_workers(running.log)) == 2, "two workers have started")
        victim = _workers(running.log)[0]
        os.kill(victim, signal.SIGSTOP)
        try:
            wait_until(lambda: len(_workers(running.log)) >= 3, "another worker has started")
        finally:
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGCONT)
        wait_until(lambda: not Path(f"/proc/{victim}").exists(), "the stopped worker is gone")
        running.wait_until_ready()
        for _ in range(20):
            assert running.request("POST", "/predict", ROW).status == 200
        assert running.stop() == 0


def _workers(log: list[str]) -> list[int]:
    """Return the processes of all workers that have started so far."""
    return [int(found[1]) for line in log if (found := re.search(r"Started server process \[(\d+)\]", line))]
