"""A container whose memory ends: the kernel kills one worker, another takes its place, and the rest answer."""

import http.client
import re
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.callers import Caller, dial, own_port
from tests.serving import wait_until
from tests.system.containers import HARDENED, container, docker, wait_until_ready

pytestmark = pytest.mark.system

LIMIT = "256m"
"""Room for two workers and what they usually need; not for a whole body of MAX_BODY_BYTES beside the numbers in it."""

CALLERS, MOST_CALLERS = 4, 64
PAUSE_SECONDS = 0.002
MOST_BODY_BYTES = 64 * 2**20

WORKERS_BY_PORT = """
import os
ports = {}
for line in open("/proc/net/tcp").read().splitlines()[1:]:
    fields = line.split()
    ports[f"socket:[{fields[9]}]"] = int(fields[2].rpartition(":")[2], 16)
for process in filter(str.isdigit, os.listdir("/proc")):
    try:
        links = {os.readlink(f"/proc/{process}/fd/{name}") for name in os.listdir(f"/proc/{process}/fd")}
    except OSError:
        continue
    for link in links & ports.keys():
        print(ports[link], process)
"""
"""Prints the client's port and the process of every connection in a container."""

OOM_COUNTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
"""Where a container reads how many of its processes were killed for lack of memory: by cgroups of version 2 and 1."""


def killed(name: str) -> int:
    """Return how many processes of a container the kernel has killed for lack of memory."""
    text = docker("exec", name, "sh", "-c", f"cat {' '.join(OOM_COUNTS)} 2>/dev/null || true")
    return sum(map(int, re.findall(r"^oom_kill (\d+)$", text, re.MULTILINE)))


def hungry() -> bytes:
    """Return a request of the largest size, in a form that is held as a whole while it is decoded."""
    head = b'{"inputs":[{"name":"features","datatype":"FP32","shape":[100000,22],"data":['
    return head + b"0.5," * ((MOST_BODY_BYTES - len(head) - 10) // 4) + b"0.5]}]}"


def ask(connection: http.client.HTTPConnection, body: bytes) -> int:
    """Post a body to where it is held as a whole, and return the status."""
    connection.request("POST", "/v2/models/random_forest/infer", body, {"Content-Type": "application/json"})
    return connection.getresponse().status


def workers_of(name: str) -> dict[int, int]:
    """Return the processes of a container that hold connections, by the port of the client."""
    lines = docker("exec", name, "python", "-c", WORKERS_BY_PORT).splitlines()
    return {int(port): int(process) for port, process in map(str.split, lines)}


def starts(name: str) -> int:
    """Return how many workers have started so far."""
    done = subprocess.run(["docker", "logs", name], capture_output=True, text=True, check=True)
    return done.stderr.count("Application startup complete")


def test_a_worker_that_the_kernel_kills_for_its_memory_is_replaced(image: str, models: Path) -> None:
    options = ("--memory", LIMIT, "--memory-swap", LIMIT, "--env", "WORKERS=2")
    with container(image, models, *HARDENED, *options) as (name, port), ExitStack() as stack:
        wait_until_ready(port)
        wait_until(lambda: starts(name) == 2, "both workers have started")
        # By its own address: the proxy of a published port would connect from ports of its own.
        address = docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name)
        eater = dial(address, 5000)
        stack.callback(eater.close)
        opened: list[http.client.HTTPConnection] = []
        workers: dict[int, int] = {}
        victim = 0
        while sum(workers[own_port(one)] != victim for one in opened) < 2:
            assert len(opened) < MOST_CALLERS, "one worker takes all connections"
            for _ in range(CALLERS):
                opened.append(dial(address, 5000))
                stack.callback(opened[-1].close)
            workers = workers_of(name)
            victim = workers[own_port(eater)]
        callers = [Caller(one, workers[own_port(one)], pause=PAUSE_SECONDS) for one in opened]
        for caller in callers:
            stack.callback(caller.end)
        others = [caller for caller in callers if caller.worker != victim]
        assert killed(name) == 0
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(eater, hungry())
        wait_until(lambda: starts(name) == 3, "another worker has started")
        before = {caller: caller.replies.total() for caller in others}
        wait_until(
            lambda: all(caller.replies.total() > before[caller] + 20 for caller in others), "the others are answered"
        )
        assert killed(name) == 1
        assert not [caller.failure for caller in others if caller.failure]
        assert all(caller.failure for caller in callers if caller.worker == victim)
        wait_until_ready(port)
