"""A rolling restart behind a real nginx: one server after the other is stopped and started, and no client sees it."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bench.connections import Reply, Sockets, post
from bench.open_loop import Outcome, Watcher, poisson, run
from bench.payloads import json_body
from bench.reference import Reference
from bench.servers import find_program
from bench.verification import Checker, Inbox
from tests.runtime.conftest import export_forest, random_rows
from tests.serving import RunningServer, free_port, running_server, wait_until

pytestmark = pytest.mark.system

RATE, BODIES = 400.0, 200

# nginx asks the other server where one cannot be reached. A POST that has been sent it never sends again: what a server
# has taken it must answer. Nor may it send one over a connection that a server closes at that moment: so those that are
# idle for half of the drain are closed by nginx, and all others are told to close by a reply.
CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
  log_format upstreams "$status $upstream_addr";
  access_log {folder}/access.log upstreams;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  upstream tickline {{
    server 127.0.0.1:{first} max_fails=0;
    server 127.0.0.1:{second} max_fails=0;
    keepalive 32;
    keepalive_timeout 500ms;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://tickline;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_next_upstream error timeout;
    }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path, port: int, first: int, second: int) -> Iterator[None]:
    """Run nginx in front of two servers."""
    file = folder / "nginx.conf"
    file.write_text(CONFIGURATION.format(folder=folder, port=port, first=first, second=second))
    command = [find_program("nginx", "nginx"), "-p", str(folder), "-c", str(file), "-e", str(folder / "error.log")]
    with subprocess.Popen(command) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(30)


class Load(Watcher):
    """Predictions at a steady rate, from a thread, until the block is left; every reply is checked."""

    def __init__(self, port: int, model: Path) -> None:
        rows = random_rows(BODIES, 22, seed=4)
        reference = Reference(model)
        self.inbox = Inbox(Checker(reference.described.labels, expected=reference.predict(rows)[:, None]))
        self._requests = [post("/predict", json_body(row)) for row in rows]
        self._sockets = Sockets("127.0.0.1", port, 16)
        self._ended = threading.Event()
        self.outcomes: list[Outcome] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._ended.is_set():
            self.outcomes.append(
                run(
                    *(self._sockets, self._requests, RATE, BODIES),
                    arrivals=poisson(RATE, len(self.outcomes)),
                    watcher=self,
                    wait=self._sockets.wait,
                )
            )

    def reply(self, number: int, latency: float, reply: Reply) -> None:
        """Keep a reply."""
        self.inbox.take(number, reply)

    def idle(self, spare: float) -> bool:
        """Check a reply."""
        return self.inbox.idle(spare)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        self._thread.join()
        self._sockets.close()
        self.inbox.close()


def test_no_client_sees_a_rolling_restart(tmp_path: Path) -> None:
    model, log = tmp_path / "model.onnx", tmp_path / "access.log"
    export_forest(model, "1.0.0")
    ports = {"first": free_port(), "second": free_port()}
    front = free_port()

    def start(stack: ExitStack, name: str) -> RunningServer:
        settings = {"PORT": str(ports[name]), "WORKERS": "2", "DRAIN_SECONDS": "1"}
        return stack.enter_context(running_server(model, **settings))

    def wait_for_load(name: str) -> None:
        mark, address = len(log.read_text().splitlines()), f"127.0.0.1:{ports[name]}"

        def has_load() -> bool:
            return sum(line.endswith(f" {address}") for line in log.read_text().splitlines()[mark:]) > 50

        wait_until(has_load, f"the {name} server has load")

    with ExitStack() as stack:
        servers = {name: start(stack, name) for name in ports}
        stack.enter_context(nginx(tmp_path, front, ports["first"], ports["second"]))
        wait_until((tmp_path / "nginx.pid").exists, "nginx runs")
        with Load(front, model) as load:
            for name in ports:
                wait_for_load(name)
                assert servers[name].stop() == 0
                servers[name] = start(stack, name)
        assert load.inbox.faults == {}, load.inbox.examples
        assert load.inbox.checked == sum(len(outcome.latencies) for outcome in load.outcomes) > 2 * BODIES
    assert {line.split()[0] for line in log.read_text().splitlines()} == {"200"}
