"""The life of a server process: model, socket, workers, end."""

import importlib.util
import logging
import logging.config
import os
import signal
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType

import uvicorn

from features_fast.errors import TicklineError
from runtime import logs
from runtime.application import Application
from runtime.artifact import model_file, naming, read_sealed
from runtime.asgi_lane import AsgiLane
from runtime.authentication import Tokens
from runtime.board import ASKED, COMMITTED, ENDING, PROPOSED, Board
from runtime.engines import COMPILED, load_compiled
from runtime.graph_rules import check_sealed_graph
from runtime.lane import FastLane
from runtime.metrics import WORDS
from runtime.plain_file import read_secrets
from runtime.settings import Settings
from runtime.supervisor import Supervisor

logger = logging.getLogger("tickline")

_LOOK_SECONDS = 0.01  # between two looks whether workers listen


class ServerError(TicklineError):
    """A server that cannot start."""


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status.

    Raises
    ------
    ArtifactError
        Where the model file is missing, foreign, changed, too large, not pinned or of no graph to be served, or the
        engine that is asked for cannot run it.
    ServerError
        Where an address cannot be listened on, there is no room for the server's own files, or gRPC is asked for and
        not installed.
    """
    log_config = logs.configure(settings.log_level, settings.log_format)
    logging.config.dictConfig(log_config)
    _check_ports(settings)
    _check_secrets(settings)
    if settings.grpc_port:
        _check_grpc(settings)
    path = model_file(settings.model_path)
    content, seal = read_sealed(path, settings.max_model_bytes, settings.model_sha256)
    with naming(path):
        check_sealed_graph(content, seal)
        if settings.engine == COMPILED:
            load_compiled(content, {}, threads=1)  # refused here it is one line, and in the workers it were one each
    with (
        _listen(settings.host, settings.port, "PORT") as listener,
        _listen(settings.host, settings.metrics_port, "METRICS_PORT") as metrics_listener,
        tempfile.TemporaryDirectory(prefix="tickline-", dir=_memory_folder(), ignore_cleanup_errors=True) as folder,
    ):
        try:
            board = Board(Path(folder), WORDS)
            board.header[PROPOSED] = board.header[COMMITTED] = board.store_model(content)
        except OSError as error:
            raise ServerError(f"{folder}: no room for counters and model file: {error.strerror}") from None
        del content
        config = uvicorn.Config(
            Application(settings, Path(folder)),
            workers=settings.workers,
            http=FastLane if settings.lane == "FAST" else AsgiLane,
            loop="uvloop",
            ws="none",
            lifespan="on",
            log_config=log_config,
            access_log=False,  # the application logs requests itself
            reset_contextvars=True,  # else a pipelined request inherits id and deadline of the one before it
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=settings.keep_alive_seconds,
            timeout_graceful_shutdown=settings.grace_seconds,
            timeout_worker_healthcheck=settings.hang_seconds,
            ssl_certfile=settings.tls_cert_file,
            ssl_keyfile=settings.tls_key_file,
        )

        def ask_for_reload() -> None:
            board.header[ASKED] += 1

        def tell_of_end() -> None:
            board.header[ENDING] = 1

        signal.signal(signal.SIGHUP, lambda number, frame: ask_for_reload())
        sockets = [listener, metrics_listener] if settings.metrics_port else [listener]
        host, port = listener.getsockname()[:2]
        told = announcement(host, port, settings.workers, secure=settings.tls_cert_file is not None)
        if settings.workers == 1:
            server = uvicorn.Server(config)
            _end_in_order(server.handle_exit)  # it listens to signals itself only when its loop runs
            with _when_served(sockets, partial(logger.info, told)):
                server.run(sockets)
            return 0 if server.started else 1
        _end_in_order(lambda number, frame: None)
        supervisor = Supervisor(config, sockets, settings.drain_seconds, ask_for_reload, tell_of_end)
        with _when_served(sockets, partial(logger.info, told)):
            supervisor.run()
        failed = [process for process in supervisor.processes if process.exitcode not in (0, -signal.SIGTERM)]
        return 1 if failed else 0


def announcement(host: str, port: int, workers: int, secure: bool) -> str:
    """Return what the log says when workers listen at a host, by its number."""
    scheme = "https" if secure else "http"
    address, browser = f"{scheme}://{_bracketed(host)}:{port}", f"{scheme}://{_reachable(host)}:{port}/"
    return f"listening on {address} with {workers} worker(s); a browser finds it at {browser}"


def _reachable(host: str) -> str:
    """Return a host by which a browser on this machine reaches an address."""
    return "localhost" if host in ("0.0.0.0", "::") else _bracketed(host)


def _bracketed(host: str) -> str:
    """Return a host as a part of a URL."""
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int, variable: str) -> socket.socket:
    """Bind before any worker starts, so that a busy port is one clear line."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ServerError(f"HOST {host}, {variable} {port}: cannot listen there: {error.strerror}") from None
    except UnicodeError:  # of a name with a part that is too long or empty
        raise ServerError(f"HOST {host}, {variable} {port}: cannot listen there: no name of a host") from None
    listener.set_inheritable(True)
    return listener


@contextmanager
def _when_served(listeners: list[socket.socket], say: Callable[[], None]) -> Iterator[None]:
    """Say once that requests are served: from when the first worker listens on the sockets, which all of them share."""
    ended = threading.Event()

    def look() -> None:
        with suppress(OSError):  # a server that is stopped while it starts closes them
            while not all(listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for listener in listeners):
                if ended.wait(_LOOK_SECONDS):
                    return
            say()

    looking = threading.Thread(target=look, name="look")
    looking.start()
    try:
        yield
    finally:
        ended.set()
        looking.join()


def _check_ports(settings: Settings) -> None:
    """Refuse one port for two purposes: the system lets both listen there, and gives each some of the connections."""
    used: dict[int, str] = {}
    for variable in ("PORT", "METRICS_PORT", "GRPC_PORT"):
        port = getattr(settings, variable.lower())
        if port and port in used:
            raise ServerError(f"{variable}: expected another port than {used[port]}, got {port}")
        used[port] = variable


def _check_secrets(settings: Settings) -> None:
    """Refuse tokens and keys that no worker could use; no message holds any of them."""
    Tokens("PREDICT_TOKENS", settings.predict_tokens, "PREDICT_TOKEN_FILE", settings.predict_token_file)
    Tokens("RELOAD_TOKEN", settings.reload_token, "RELOAD_TOKEN_FILE", settings.reload_token_file)
    certificate, key = settings.tls_cert_file, settings.tls_key_file
    if bool(certificate) != bool(key):
        missing, given = ("TLS_KEY_FILE", "TLS_CERT_FILE") if certificate else ("TLS_CERT_FILE", "TLS_KEY_FILE")
        raise ServerError(f"{missing}: expected a path, because {given} is set")
    if certificate and key:
        for variable, path in (("TLS_CERT_FILE", certificate), ("TLS_KEY_FILE", key)):
            try:
                read_secrets(path)
            except OSError as error:
                raise ServerError(f"{variable} {path}: cannot be read: {error.strerror}") from None
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
        except (OSError, ValueError) as error:
            raise ServerError(f"TLS_CERT_FILE {certificate}, TLS_KEY_FILE {key}: {error}") from None


def _check_grpc(settings: Settings) -> None:
    """Refuse what would stop every worker: the extra is not installed, or its port is taken."""
    if importlib.util.find_spec("grpc") is None:
        raise ServerError(f"GRPC_PORT {settings.grpc_port}: grpcio is not installed: pip install 'tickline[grpc]'")
    _listen(settings.host, settings.grpc_port, "GRPC_PORT").close()


def _memory_folder() -> str | None:
    """Return a folder in memory, which is writable on a read-only root too; None lets the system choose."""
    folder = "/dev/shm"
    return folder if "TMPDIR" not in os.environ and os.access(folder, os.W_OK) else None


def _end_in_order(stop: Callable[[int, FrameType | None], None]) -> None:
    """Let the process end by returning, after uvicorn has handled its signal, so that nothing is left behind."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
