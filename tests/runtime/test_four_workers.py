"""Four workers under load: what one of them suffers no client of another sees, and a reload is of all or of none."""

import os
import re
import signal
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path

from runtime.board import Board
from tests.callers import SINGLE, Caller, dial, own_port
from tests.runtime.test_rollout import all_ready, board_of, prepared_but_for_one, processes
from tests.serving import RunningServer, wait_until

WORKERS, CALLERS_A_WORKER, MOST_CONNECTIONS = 4, 2, 200
REPLIES = 10
BATCH = ("/predict/batch", b'{"features": [%b]}' % b",".join([b"[%b]" % b",".join([b"0.5"] * 22)] * 20))


def worker_behind(board: Board, port: int, opened: HTTPConnection) -> int:
    """Return the process that has accepted a connection to a port."""
    ends = re.compile(rf" [0-9A-F]+:{port:04X} [0-9A-F]+:{own_port(opened):04X} 01 ")
    found: list[int] = []

    def look() -> bool:
        lines = [line for line in Path("/proc/net/tcp").read_text().splitlines() if ends.search(line)]
        sockets = {f"socket:[{line.split()[9]}]" for line in lines}
        for process in processes(board):
            folder = f"/proc/{process}/fd"
            for name in os.listdir(folder):
                try:
                    if os.readlink(f"{folder}/{name}") in sockets:
                        found.append(process)
                except FileNotFoundError:  # it was closed meanwhile
                    continue
        return bool(found)

    wait_until(look, "a worker has accepted the connection")
    return found[0]


@contextmanager
def called(running: RunningServer, board: Board) -> Iterator[list[Caller]]:
    """Have every worker called over some connections, by batches over one of them."""
    by_worker: dict[int, list[HTTPConnection]] = defaultdict(list)
    with ExitStack() as stack:
        for _ in range(MOST_CONNECTIONS):
            opened = dial("127.0.0.1", running.port)
            stack.callback(opened.close)
            connections = by_worker[worker_behind(board, running.port, opened)]
            if len(connections) < CALLERS_A_WORKER:
                connections.append(opened)
            if [len(some) for some in by_worker.values()] == [CALLERS_A_WORKER] * WORKERS:
                break
        assert sorted(by_worker) == sorted(processes(board)), "some worker gets no connection"
        callers = []
        for worker, connections in by_worker.items():
            for number, opened in enumerate(connections):
                callers.append(Caller(opened, worker, SINGLE if number else BATCH))
                stack.callback(callers[-1].end)
        yield callers


def all_get(callers: list[Caller], version: str, running: RunningServer) -> None:
    """Return when every caller has got more replies, of one version."""
    before = [caller.replies.total() for caller in callers]
    versions = [caller.replies[version] for caller in callers]

    def got() -> bool:
        assert not [caller.failure for caller in callers if caller.failure]
        return all(caller.replies.total() >= count + REPLIES for caller, count in zip(callers, before, strict=True))

    wait_until(got, "everyone gets replies", running.process)
    for caller, total, count in zip(callers, before, versions, strict=True):
        others = (caller.replies.total() - total) - (caller.replies[version] - count)
        assert others <= 1, (caller.replies, version)  # what was under way when it began


def test_a_reload_is_of_four_workers_or_of_none_and_a_killed_one_costs_no_other_reply(
    model_path: Path, second_path: Path
) -> None:
    with all_ready(model_path, WORKERS) as running:
        board, first = board_of(model_path), model_path.read_bytes()
        with called(running, board) as callers:
            all_get(callers, "1.0.0", running)
            model_path.write_bytes(second_path.read_bytes())
            reply = running.request("POST", "/reload", b"")
            assert (reply.status, reply.json()["workers"]) == (200, WORKERS), reply.body
            all_get(callers, "2.0.0", running)
            model_path.write_bytes(first)
            with prepared_but_for_one(running, board) as (victim, answer):
                others = [caller for caller in callers if caller.worker != victim]
                assert len(others) == CALLERS_A_WORKER * (WORKERS - 1)
                all_get(others, "2.0.0", running)
                os.kill(victim, signal.SIGKILL)
                refused = answer()
            assert refused.status == 409, refused.body
            assert f"worker process {victim} ended before it had prepared the model" in refused.json()["detail"]
            all_get(others, "2.0.0", running)
            wait_until(lambda: len(processes(board)) == WORKERS, "it is replaced", running.process)
            assert running.request("POST", "/reload", b"").json()["workers"] == WORKERS
            all_get(others, "1.0.0", running)
        assert all(caller.failure for caller in callers if caller.worker == victim)
        assert not [caller.failure for caller in others if caller.failure]
