"""The client that blocks."""

import socket
import ssl
import time
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


class Client:
    """Asks a server over connections that stay open. Any number of threads may use one client at once.

    Parameters
    ----------
    url : str
        The server, ``http://host:port``; a path stands before every route.
    timeout : float
        Seconds that a call may take, with all its tries; the server is told, and spends nothing on what is late.
        ``inf`` is no limit.
    token : str, optional
        Bearer token.
    retries : int
        How often a call is tried again where that is safe: predictions and what only reads, after a lost connection or
        a 503 or 429 with `Retry-After`, never past the deadline; never a reload. Pauses begin at 0.1 s and double, up
        to 5 s, each shorter by up to a half at random.
    context : ssl.SSLContext, optional
        How a server is trusted; by default as the system trusts.

    Raises
    ------
    ClientError
        From every method: `RefusedError` with the server's problem details, `NoAnswerError`, `DeadlineError`.
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
        self._idle: list[socket.socket] = []  # its append and pop are atomic

    def predict(self, row: Any, *, timeout: float | None = None) -> Prediction:
        """Predict one row: 22 numbers in the model's order (list, array), or all features by name (dict, Series)."""
        return self.run(calls.predict(row), timeout)

    def predict_demo(self, *, timeout: float | None = None) -> Prediction:
        """Predict the example in the model file."""
        return self.run(calls.predict_demo(), timeout)

    def predict_batch(self, rows: Any, *, strict: bool = False, timeout: float | None = None) -> Batch:
        """Predict many rows; bad ones are marked.

        Parameters
        ----------
        rows : DataFrame or (n, features) array_like
            A DataFrame of exactly the model's features, in any order, or numbers in the model's order. A DataFrame of
            100 rows or more travels as numbers, after the server has been asked for the model's order.
        strict : bool
            Raise `RefusedError` for the first bad row instead.
        timeout : float, optional
            Seconds, in place of the client's.
        """
        return self.run(calls.predict_batch(rows, strict), timeout)

    def predict_probabilities(
        self, rows: Any, *, raw: bool = False, timeout: float | None = None
    ) -> NDArray[np.float32]:
        """Return the probabilities, float32 (n, classes), of rows, (n, features): the fastest way, binary both ways.

        Parameters
        ----------
        rows : (n, features) array_like
            Numbers in the model's order, sent as float32.
        raw : bool
            Send bare numbers, in place of NumPy's format.
        timeout : float, optional
            Seconds, in place of the client's.
        """
        return self.run(calls.predict_probabilities(rows, raw), timeout)

    def predict_bars(self, bars: Any, *, timeout: float | None = None) -> BarPrediction:
        """Predict the newest of some bars of one ticker, oldest first.

        Parameters
        ----------
        bars : DataFrame, mapping or (n, 5) array_like
            Columns open, high, low, close, volume in any case, and perhaps date; or these five in this order.
        timeout : float, optional
            Seconds, in place of the client's.
        """
        return self.run(calls.predict_bars(bars), timeout)

    def predict_every_bar(self, bars: Any, *, timeout: float | None = None) -> BarPredictions:
        """Predict every bar from the 50th on; `bars` as in `predict_bars`."""
        return self.run(calls.predict_every_bar(bars), timeout)

    def model_info(self, *, timeout: float | None = None) -> ModelInfo:
        """Say which model is served."""
        return self.run(calls.model_info(), timeout)

    def seed_symbol(self, ticker: str, bars: Any, *, timeout: float | None = None) -> SymbolPrediction:
        """Begin a symbol with its history, in place of what was held of it; `bars` as in `predict_bars`, any number."""
        return self.run(calls.seed_symbol(ticker, bars), timeout)

    def add_bar(self, ticker: str, bar: Any, *, timeout: float | None = None) -> SymbolPrediction:
        """Have a symbol take its next bar, and predict it; sent once, whatever happens.

        Parameters
        ----------
        ticker : str
            A symbol that was seeded.
        bar : mapping, Series or sequence of 5 numbers
            Open, high, low, close and volume by name in any case, and perhaps date; or these five in this order. A row
            of a DataFrame whose index is dates has its date from there.
        timeout : float, optional
            Seconds, in place of the client's.
        """
        return self.run(calls.add_bar(ticker, bar), timeout)

    def describe_symbol(self, ticker: str, *, timeout: float | None = None) -> Symbol:
        """Say what is held of a symbol."""
        return self.run(calls.describe_symbol(ticker), timeout)

    def forget_symbol(self, ticker: str, *, timeout: float | None = None) -> None:
        """Have the server forget a symbol; sent once, whatever happens."""
        self.run(calls.forget_symbol(ticker), timeout)

    def reload(
        self,
        *,
        version: str | None = None,
        max_flips: int | None = None,
        max_probability_change: float | None = None,
        timeout: float | None = None,
    ) -> Reload:
        """Have the server read its model file again, in all workers or in none; sent once, whatever happens.

        Parameters
        ----------
        version : str, optional
            A version that the server keeps, or its SHA-256, in place of the file.
        max_flips : int, optional
            Refuse a model that gives more of the compared rows another label.
        max_probability_change : float, optional
            Refuse a model that changes any of their probabilities by more.
        timeout : float, optional
            Seconds, in place of the client's.
        """
        return self.run(calls.reload(version, max_flips, max_probability_change), timeout)

    def rollback(
        self,
        *,
        max_flips: int | None = None,
        max_probability_change: float | None = None,
        timeout: float | None = None,
    ) -> Reload:
        """Have the server serve what it served before; bounds as in `reload`, and sent once as well."""
        return self.run(calls.rollback(max_flips, max_probability_change), timeout)

    def metrics(self, *, timeout: float | None = None) -> str:
        """Return all metrics in the text of Prometheus."""
        return self.run(calls.metrics(), timeout)

    def close(self) -> None:
        """Close the connections that are open and idle."""
        while self._idle:
            self._idle.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, asked: Call[Result] | Plan[Result], timeout: float | None = None) -> Result:
        """Have a call, or all of a plan, answered: what all methods do."""
        conversation = self._server.converse(asked, self._timeout if timeout is None else timeout)
        step = next(conversation)
        try:
            while True:
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    step = next(conversation)
                    continue
                try:
                    reply = self._exchange(step)
                except (LostError, OSError) as error:
                    step = conversation.throw(error)
                else:
                    step = conversation.send(reply)
        except StopIteration as ended:
            result: Result = ended.value
            return result

    def _exchange(self, step: Exchange) -> Reply:
        """Send a request and read its reply; a connection goes back among the idle ones after a whole reply alone."""
        try:
            connection, kept = (self._connect(step), False) if step.fresh else (self._idle.pop(), True)
        except IndexError:
            connection, kept = self._connect(step), False
        reply, received = Reply(), False
        try:
            _limit(connection, step)
            connection.sendall(step.request)
            while not reply.complete:
                _limit(connection, step)
                piece = connection.recv(_PIECE)
                if not piece:
                    raise LostError("the connection was closed before a reply", stale=kept and not received)
                received = True
                reply.feed(piece)
        except (ConnectionError, ssl.SSLEOFError) as error:
            connection.close()
            raise LostError(error.strerror or str(error), stale=kept and not received) from None
        except BaseException:
            connection.close()
            raise
        if reply.keeps_alive:
            self._idle.append(connection)
        else:
            connection.close()
        return reply

    def _connect(self, step: Exchange) -> socket.socket:
        server, left = self._server, step.left()
        plain = socket.create_connection((server.host, server.port), None if left is None else max(left, 0.001))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is None:
            return plain
        try:
            return self._context.wrap_socket(plain, server_hostname=server.host)
        except BaseException:
            plain.close()
            raise


def _limit(connection: socket.socket, step: Exchange) -> None:
    """Let what a connection does next end at a deadline."""
    left = step.left()
    if left == 0:
        raise TimeoutError
    connection.settimeout(left)
