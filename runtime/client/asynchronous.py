"""The client that awaits."""

import asyncio
import socket
import ssl
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from runtime.client import calls
from runtime.client.calls import Call, Plan, Result
from runtime.client.conversation import RETRIES, Exchange, Pause, Server, check_timeout
from runtime.client.http import LostError, Reply
from runtime.client.results import (
    BarPrediction,
    BarPredictions,
    Batch,
    ModelInfo,
    Prediction,
    Reload,
    Symbol,
    SymbolPrediction,
)

_PIECE = 1 << 18

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class AsyncClient:
    """Asks a server over connections that stay open. Any number of tasks of one event loop may use one client at once.

    Connections belong to the event loop that made them: in another one, later, a client makes new ones. Parameters and
    errors are those of `Client`, and so are the methods, which are awaited here.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 10.0,
        token: str | None = None,
        retries: int = RETRIES,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._server = Server.at(url, token, retries)
        self._timeout = check_timeout(timeout)
        self._context = context or (ssl.create_default_context() if self._server.secure else None)
        self._idle: list[_Streams] = []
        self._loop: asyncio.AbstractEventLoop | None = None  # whose connections they are

    async def predict(self, row: Any, *, timeout: float | None = None) -> Prediction:
        """Predict one row; see `Client.predict`."""
        return await self.run(calls.predict(row), timeout)

    async def predict_demo(self, *, timeout: float | None = None) -> Prediction:
        """Predict the example in the model file."""
        return await self.run(calls.predict_demo(), timeout)

    async def predict_batch(self, rows: Any, *, strict: bool = False, timeout: float | None = None) -> Batch:
        """Predict many rows; see `Client.predict_batch`."""
        return await self.run(calls.predict_batch(rows, strict), timeout)

    async def predict_probabilities(
        self, rows: Any, *, raw: bool = False, timeout: float | None = None
    ) -> NDArray[np.float32]:
        """Return the probabilities of rows; see `Client.predict_probabilities`."""
        return await self.run(calls.predict_probabilities(rows, raw), timeout)

    async def predict_bars(self, bars: Any, *, timeout: float | None = None) -> BarPrediction:
        """Predict the newest bar; see `Client.predict_bars`."""
        return await self.run(calls.predict_bars(bars), timeout)

    async def predict_every_bar(self, bars: Any, *, timeout: float | None = None) -> BarPredictions:
        """Predict every bar from the 50th on."""
        return await self.run(calls.predict_every_bar(bars), timeout)

    async def model_info(self, *, timeout: float | None = None) -> ModelInfo:
        """Say which model is served."""
        return await self.run(calls.model_info(), timeout)

    async def seed_symbol(self, ticker: str, bars: Any, *, timeout: float | None = None) -> SymbolPrediction:
        """Begin a symbol with its history; see `Client.seed_symbol`."""
        return await self.run(calls.seed_symbol(ticker, bars), timeout)

    async def add_bar(self, ticker: str, bar: Any, *, timeout: float | None = None) -> SymbolPrediction:
        """Have a symbol take its next bar, and predict it; see `Client.add_bar`."""
        return await self.run(calls.add_bar(ticker, bar), timeout)

    async def describe_symbol(self, ticker: str, *, timeout: float | None = None) -> Symbol:
        """Say what is held of a symbol."""
        return await self.run(calls.describe_symbol(ticker), timeout)

    async def forget_symbol(self, ticker: str, *, timeout: float | None = None) -> None:
        """Have the server forget a symbol."""
        await self.run(calls.forget_symbol(ticker), timeout)

    async def reload(
        self,
        *,
        version: str | None = None,
        max_flips: int | None = None,
        max_probability_change: float | None = None,
        timeout: float | None = None,
    ) -> Reload:
        """Have the server read its model file again; see `Client.reload`."""
        return await self.run(calls.reload(version, max_flips, max_probability_change), timeout)

    async def rollback(
        self,
        *,
        max_flips: int | None = None,
        max_probability_change: float | None = None,
        timeout: float | None = None,
    ) -> Reload:
        """Have the server serve what it served before; see `Client.rollback`."""
        return await self.run(calls.rollback(max_flips, max_probability_change), timeout)

    async def metrics(self, *, timeout: float | None = None) -> str:
        """Return all metrics in the text of Prometheus."""
        return await self.run(calls.metrics(), timeout)

    async def close(self) -> None:
        """Close the connections that are open and idle."""
        idle = self._connections()
        while idle:
            _, writer = idle.pop()
            writer.close()
            with suppress(OSError):  # it was lost before
                await writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def run(self, asked: Call[Result] | Plan[Result], timeout: float | None = None) -> Result:
        """Have a call, or all of a plan, answered: what all methods do."""
        conversation = self._server.converse(asked, self._timeout if timeout is None else timeout)
        step = next(conversation)
        try:
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    step = next(conversation)
                    continue
                try:
                    async with asyncio.timeout(step.left()):
                        reply = await self._exchange(step)
                except (LostError, OSError) as error:
                    step = conversation.throw(error)
                else:
                    step = conversation.send(reply)
        except StopIteration as ended:
            result: Result = ended.value
            return result

    async def _exchange(self, step: Exchange) -> Reply:
        """Send a request and read its reply; a connection goes back among the idle ones after a whole reply alone."""
        idle = self._connections()
        kept = bool(idle) and not step.fresh
        reader, writer = idle.pop() if kept else await self._connect()
        reply, received = Reply(), False
        try:
            writer.write(step.request)
            await writer.drain()
            while not reply.complete:
                piece = await reader.read(_PIECE)
                if not piece:
                    raise LostError("the connection was closed before a reply", stale=kept and not received)
                received = True
                reply.feed(piece)
        except ConnectionError as error:
            writer.close()
            raise LostError(error.strerror or str(error), stale=kept and not received) from None
        except BaseException:
            writer.close()
            raise
        if reply.keeps_alive:
            idle.append((reader, writer))
        else:
            writer.close()
        return reply

    def _connections(self) -> list[_Streams]:
        """Return the idle connections of the running event loop, and let go of those of another one."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            left, self._idle, self._loop = self._idle, [], loop
            for _, writer in left:
                try:
                    writer.transport.abort()
                except RuntimeError:  # its loop is closed, so that the descriptor stays until it is collected
                    with suppress(OSError):
                        writer.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        return self._idle

    async def _connect(self) -> _Streams:
        server = self._server
        return await asyncio.open_connection(server.host, server.port, ssl=self._context)
