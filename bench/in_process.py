"""A connection of the server inside one process: its protocol, a transport and an event loop without any socket."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from runtime.application import Application
from runtime.board import COMMITTED, PROPOSED, Board
from runtime.metrics import WORDS
from runtime.scheduling import take_usual_slices
from runtime.settings import read_settings

_PATIENT = {"HANG_SECONDS": "86400"}  # between two calls this loop stands still
_HEADERS = [(b"date", b"Thu, 15 Jan 2026 10:30:00 GMT")]


class TurnLoop:
    """An event loop as far as a protocol needs one, which does what is due when it is told to."""

    def __init__(self) -> None:
        self._ready: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._tasks: deque[Coroutine[Any, Any, object]] = deque()
        self._timers: dict[int, tuple[float, Callable[..., object], tuple[object, ...]]] = {}
        self._number = 0

    def call_soon(self, callback: Callable[..., object], *arguments: object) -> None:
        """Call in the next turn."""
        self._ready.append((callback, arguments))

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: object) -> "_Timer":
        """Call in a turn after some seconds."""
        self._number += 1
        self._timers[self._number] = time.perf_counter() + delay, callback, arguments
        return _Timer(self._timers, self._number)

    def create_task(self, work: Coroutine[Any, Any, object], **options: object) -> "_Task":
        """Run a coroutine in the next turn."""
        self._tasks.append(work)
        return _Task()

    def time(self) -> float:
        """Return seconds that never go back."""
        return time.perf_counter()

    def turn(self) -> None:
        """Do what is due."""
        while self._ready or self._tasks:
            while self._tasks:
                try:
                    self._tasks.popleft().send(None)
                except StopIteration:
                    continue
                raise RuntimeError("a coroutine waits for what cannot happen in one process")
            while self._ready:
                callback, arguments = self._ready.popleft()
                callback(*arguments)
        now = time.perf_counter()
        for number, (due, callback, arguments) in list(self._timers.items()):
            if due <= now:
                del self._timers[number]
                callback(*arguments)


class _Timer:
    def __init__(self, timers: dict[int, Any], number: int) -> None:
        self._timers = timers
        self._number = number

    def cancel(self) -> None:
        self._timers.pop(self._number, None)


class _Task:
    def add_done_callback(self, callback: Callable[..., object]) -> None:
        """Forget it: the task is done within the turn."""


class Transport:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        """Keep bytes."""
        self.written += data

    def get_extra_info(self, name: str) -> object:
        """Return what a connection on loopback says of itself."""
        return {"sockname": ("127.0.0.1", 5000), "peername": ("127.0.0.1", 50000)}.get(name)

    def is_closing(self) -> bool:
        """Return that the connection stays open."""
        return False

    def can_write_eof(self) -> bool:
        """Return that there is no socket that could be half closed."""
        return False

    def close(self) -> None:
        """Stay open."""

    pause_reading = resume_reading = close


class InProcess:
    """One keep-alive connection.

    Parameters
    ----------
    application : callable
        The ASGI application.
    protocol : type
        Reads the requests.
    loop : TurnLoop
        What the application has been made for.
    """

    def __init__(self, application: Callable[..., Awaitable[None]], protocol: type[HttpToolsProtocol], loop: TurnLoop):
        config = Config(
            cast(Any, application), http=protocol, lifespan="off", proxy_headers=False, log_config=None, ws="none"
        )
        config.load()
        state = ServerState()
        state.default_headers = _HEADERS
        self._loop = loop
        self._transport = Transport()
        self._protocol = protocol(config, state, {}, cast(Any, loop))
        self._protocol.connection_made(cast(Any, self._transport))

    def ask(self, request: bytes) -> bytes:
        """Give the protocol a request, and return what it has answered a turn later."""
        self._protocol.data_received(request)
        self._loop.turn()
        written, self._transport.written = self._transport.written, b""
        return written

    def send_no_more(self) -> None:
        """Tell the protocol that its client has half closed the connection."""
        self._protocol.eof_received()


def start_application(model: Path, folder: Path, loop: TurnLoop, **environ: str) -> Application:
    """Start the application of the server with a model, for a loop; settings as environment variables."""
    settings = read_settings(cast(Any, object()), {"MODEL_PATH": str(model), "WORKERS": "1", **_PATIENT, **environ})
    folder.mkdir(parents=True, exist_ok=True)
    board = Board(folder, WORDS)
    board.header[PROPOSED] = board.header[COMMITTED] = board.store_model(model.read_bytes())
    application = Application(settings, folder)

    async def live() -> None:
        started = asyncio.Event()

        async def receive() -> dict[str, str]:
            if started.is_set():
                await asyncio.Event().wait()
            return {"type": "lifespan.startup"}

        async def send(message: dict[str, str]) -> None:
            if message["type"] != "lifespan.startup.complete":
                raise RuntimeError(message["message"])
            started.set()

        task = asyncio.create_task(cast(Any, application({"type": "lifespan"}, cast(Any, receive), cast(Any, send))))
        waiting = asyncio.create_task(started.wait())
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        task.cancel()

    asyncio.run(live())
    take_usual_slices()  # this thread, and what it starts, goes on as something else than an event loop
    application.worker.coalescer._loop = cast(Any, loop)  # the one that it was started by is closed
    return application
