"""A real server for tests: `tickline serve` in a process of its own, on loopback, on a free port."""

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

DEADLINE_SECONDS = 60.0
LAST_WORDS_SECONDS = 5.0


class Reply:
    """A reply as it came over the wire."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    def json(self) -> Any:
        """Return the body as a JSON document that holds no NaN and no Infinity."""

        def refuse(constant: str) -> None:
            raise AssertionError(f"the reply holds {constant}")

        return json.loads(self.body, parse_constant=refuse)


class Connection:
    """One keep-alive connection; every request goes over the same socket."""

    def __init__(self, port: int, trusted: str | None = None) -> None:
        self._http = (
            http.client.HTTPSConnection(
                "127.0.0.1", port, timeout=DEADLINE_SECONDS, context=ssl.create_default_context(cafile=trusted)
            )
            if trusted
            else http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)
        )
        self._http.connect()
        self._http.auto_open = 0  # a connection that the server has closed is a failure, not a reason for a new one

    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send one request and read its whole reply."""
        self._http.request(method, path, body, dict(headers or {}))
        response = self._http.getresponse()
        return Reply(response.status, dict(response.getheaders()), response.read())

    def post(self, path: str, document: Any, **headers: str) -> Reply:
        """Post a JSON document, or bytes as they are."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.request("POST", path, body, {"Content-Type": "application/json", **headers})

    def close(self) -> None:
        """Close the socket."""
        self._http.close()


class RunningServer:
    """A started server; `log` grows while it runs. With a trusted certificate it is asked over TLS."""

    def __init__(self, process: subprocess.Popen[str], trusted: str | None = None) -> None:
        self._trusted = trusted
        self.process = process
        self.log: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = int(self.wait_for_line(r"listening on https?://[^ ]*:(\d+) ")[1])

    def _read(self) -> None:
        assert self.process.stderr is not None
        with suppress(ValueError):  # the test is over, which closes the log
            for line in self.process.stderr:
                with self._changed:
                    self.log.append(line)
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait_for_line(self, pattern: str) -> re.Match[str]:
        """Return the first match in the log; fails when the server ends without it."""
        found: list[re.Match[str]] = []

        def look() -> bool:
            found.extend(match for line in self.log if (match := re.search(pattern, line)))
            return bool(found) or not self._reader.is_alive() or self.process.poll() is not None

        with self._changed:
            self._changed.wait_for(look, DEADLINE_SECONDS)
        if not found:  # what a process that has ended wrote last may not have been read yet
            self._reader.join(LAST_WORDS_SECONDS)
            look()
        assert found, f"no line matches {pattern!r} in:\n{''.join(self.log)}"
        return found[0]

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Open one connection."""
        connection = Connection(self.port, self._trusted)
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def raw(self) -> Iterator[socket.socket]:
        """Open one socket, for requests that no client library would send."""
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE_SECONDS) as stream:
            yield stream

    def request(self, method: str, path: str, *arguments: Any, **headers: str) -> Reply:
        """Send one request over a connection of its own."""
        with self.connection() as connection:
            if arguments:
                return connection.post(path, *arguments, **headers)
            return connection.request(method, path, headers=headers)

    def wait_until_ready(self) -> None:
        """Return when the server says that it is ready."""

        def ready() -> bool:
            try:
                return self.request("GET", "/health/ready").status == 200
            except OSError:
                return False

        wait_until(ready, "the server is ready", self.process)

    def wait_until_silent(self) -> None:
        """Return when the server and all of its workers have ended, which hold the log open."""
        self._reader.join(DEADLINE_SECONDS)
        assert not self._reader.is_alive(), "not in time: nobody writes to the log"

    def stop(self) -> int:
        """Ask the server to end, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_SECONDS)


def wait_until(
    condition: Any, what: str, process: subprocess.Popen[str] | None = None, seconds: float = DEADLINE_SECONDS
) -> None:
    """Return when a condition holds; fails after the deadline, or when the process that it needs has ended."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        assert process is None or process.poll() is None, f"the process ended before: {what}"
        pause.wait(0.02)


@contextmanager
def running_server(model_path: Path, *, wrap: Sequence[str] = (), **settings: str) -> Iterator[RunningServer]:
    """Run `tickline serve`, within another command where one is given; settings are environment variables.

    There is one worker unless they say otherwise.
    """
    environ = {
        **os.environ,
        "HOST": "127.0.0.1",
        "PORT": "0",
        "WORKERS": "1",
        "MODEL_PATH": str(model_path),
        **settings,
    }
    with subprocess.Popen(
        [*wrap, sys.executable, "-m", "tickline", "serve"], env=environ, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            server = RunningServer(process, settings.get("TLS_CERT_FILE"))
            server.wait_until_ready()
            yield server
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(DEADLINE_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for loopback; return its file and that of its key."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"),
            *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
