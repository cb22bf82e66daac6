"""Servers as processes: each pinned to one core, found ready, its processor time read, and stopped whatever happens."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench import processes
from features_fast.errors import TicklineError

SERVER_CORE = 0
CLIENT_CORE = 1

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_SLOWS = "OPENBLAS_CORETYPE", "PYTHONDONTWRITEBYTECODE"
"""What some machines set: kernels of another processor in numpy, and a compilation of all Python at every start."""


class MeasureError(TicklineError):
    """What keeps a measurement from being made."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, and what it takes to send it.

    Attributes
    ----------
    path : str
        Where it goes.
    body : bytes
        What is posted; without a body it is a GET.
    headers : mapping
        Its headers beside those that HTTP needs.
    """

    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def send(self, connection: http.client.HTTPConnection) -> tuple[int, bytes]:
        """Send it over a connection, and return the status and the body of the reply."""
        connection.request("POST" if self.body else "GET", self.path, self.body or None, dict(self.headers))
        response = connection.getresponse()
        return response.status, response.read()


@dataclass(frozen=True, slots=True)
class Contender:
    """A server that can be started.

    Attributes
    ----------
    name : str
        What the table calls it.
    command : sequence of str
        How it is started; `{port}` stands for the port.
    ready : Request
        What it answers with 200 once it serves.
    environ : mapping
        Variables that it gets beside those of this process; `{port}` stands for the port.
    port : int
        Where it listens on loopback; 0 takes a free port.
    """

    name: str
    command: Sequence[str]
    ready: Request
    environ: Mapping[str, str] = field(default_factory=dict)
    port: int = 0


class Server:
    """A server that runs in a session of its own, so that all its processes are known, whatever sessions they make.

    Attributes
    ----------
    contender : Contender
        What was started.
    port : int
        Where it listens on loopback.
    ready_seconds : float
        How long it took from the start of its process until it was ready.
    """

    def __init__(self, contender: Contender, port: int, process: "subprocess.Popen[bytes]") -> None:
        self.contender = contender
        self.port = port
        self.ready_seconds = 0.0
        self.process = process

    def ask(self, request: Request) -> tuple[int, bytes]:
        """Send one request over a connection of its own."""
        connection = self.connect()
        try:
            return request.send(connection)
        finally:
            connection.close()

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection that opens with its first request."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=_START_SECONDS)

    def cpu_seconds(self) -> float:
        """Return the processor time, user's and system's, of all its processes until now."""
        return processes.tree_cpu_seconds(self.process.pid)

    def resident_mebibytes(self) -> float:
        """Return the resident memory of the process that was started."""
        return self._mebibytes("VmRSS")

    def peak_mebibytes(self) -> float:
        """Return the most resident memory that the process has had."""
        return self._mebibytes("VmHWM")

    def _mebibytes(self, name: str) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(f"{name}:")) / 1024

    def all_mebibytes(self) -> float:
        """Return the resident memory of all its processes; what some share counts once."""
        return processes.tree_mebibytes(self.process.pid)

    def settle(self) -> None:
        """Return when it has done what earlier load left behind; raises MeasureError where that does not end."""
        before, deadline = -1.0, time.perf_counter() + _START_SECONDS
        while (now := self.cpu_seconds()) > before + 1.5 / processes.TICKS:
            if time.perf_counter() > deadline:
                raise MeasureError(f"{self.contender.name} does not come to rest")
            before = now
            time.sleep(0.1)


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def find_program(name: str, package: str) -> str:
    """Return the path of a program; raises MeasureError, which names the Debian package that has it."""
    path = shutil.which(name) or shutil.which(name, path=os.pathsep.join(_SYSTEM_FOLDERS))
    if path is None:
        raise MeasureError(f"{name} is not installed; Debian has it in the package {package}")
    return path


def clean_environ() -> dict[str, str]:
    """Return the variables of this process without those that slow others down."""
    return {name: value for name, value in os.environ.items() if name not in _SLOWS}


@contextmanager
def started(contender: Contender, cores: Sequence[int] = (SERVER_CORE,)) -> Iterator[Server]:
    """Run a server pinned to its core, or to some, from when it is ready until the block is left.

    Raises
    ------
    MeasureError
        Where it ends or is not ready in time; the message has the end of what it wrote.
    """
    port = contender.port or free_port()
    command = [part.replace("{port}", str(port)) for part in contender.command]
    variables = {name: value.replace("{port}", str(port)) for name, value in contender.environ.items()}
    with tempfile.TemporaryFile() as output:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [find_program("taskset", "util-linux"), "-c", ",".join(map(str, cores)), *command],
            env={**clean_environ(), **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            server = Server(contender, port, process)
            while not _answers(server):
                if process.poll() is not None or time.perf_counter() - begin > _START_SECONDS:
                    output.seek(0)
                    raise MeasureError(f"{contender.name} does not serve:\n{output.read()[-2000:].decode()}")
                time.sleep(0.002)
            server.ready_seconds = time.perf_counter() - begin
            yield server
        finally:
            _stop(process)


def _answers(server: Server) -> bool:
    try:
        return server.ask(server.contender.ready)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process, and the others of its family that it leaves."""
    family = processes.family(process.pid)
    process.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    finally:
        born = {one.pid: one.born for one in [*family, *processes.family(process.pid)]}
        for one in map(processes.parse, processes.states()):
            if born.get(one.pid) == one.born:
                with suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGKILL)
        process.wait()
