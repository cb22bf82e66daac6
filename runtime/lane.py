"""The fast lane: `POST /predict` answered from the parser's callbacks, everything else by the application.

A prediction takes some microseconds; an ASGI scope, a task and a routed endpoint take many times that. So this protocol
answers the plain case itself, without the parser where the same head has been parsed before. Whatever is not plain
(another route, a header that needs thought, a body that is refused) it hands to uvicorn's own protocol as if it had
never looked. Both lanes answer alike, byte for byte.
"""

import asyncio
from time import perf_counter_ns
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from runtime.problems import Problem

_PATH = b"/predict"
_POST = b"POST"
_CONTENT_TYPE = b"content-type"
_CONTENT_LENGTH = b"content-length"
_TRANSFER_ENCODING = b"transfer-encoding"
_HEAD_END = b"\r\n\r\n"
_JSON = frozenset((b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"))
_NEEDS_THOUGHT = frozenset((b"content-encoding", b"expect", b"upgrade", b"server-timing"))
"""Headers of a request that mean something to the application's own `/predict`."""


class AsgiLane(HttpToolsProtocol):
    """One connection of which the application answers every request."""

    def problem_reply(self, problem: Problem, keep_alive: bool) -> bytes:
        """Return a whole reply, with the headers and in the order of the application's own."""
        response = problem.response()
        headers = [*self.server_state.default_headers, *response.raw_headers]
        if not keep_alive:
            headers.append((b"connection", b"close"))
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        return b"".join((STATUS_LINE[problem.status], lines, b"\r\n", response.body))

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, and end the connection, because no one knows where its next request begins."""
        self.transport.write(self.problem_reply(Problem(400, msg), keep_alive=False))
        self.transport.close()


class FastLane(AsgiLane):
    """One connection of which this class answers the predictions; see uvicorn's `HttpToolsProtocol` for the rest of it.

    Parameters
    ----------
    config, server_state, app_state, _loop
        As uvicorn gives them; `config.app` is a `runtime.application.Application` that has started.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        worker = config.loaded_app.worker
        self._coalescer = worker.coalescer
        self._limit = worker.settings.max_body_bytes
        self._safe_digits = len(str(self._limit)) - 1  # a length of no more digits is within the limit
        self._body: list[bytes] | None = None  # of the fast request that is being read
        self._length = 0
        self._started = 0
        self._ending = False
        self._head = b""
        self._idle_timer: asyncio.TimerHandle
        self._head_of: list[tuple[bytes, bytes]] | None = None
        self._known = worker.known_heads
        self._between = True  # the parser is at the start of a request, and the connection stays open
        self._learnt = -1  # length of the body of the plain request that the parser has just read

    def data_received(self, data: bytes) -> None:
        """Answer a request whose head is known byte for byte; let the parser read all else."""
        if not self._between:
            super().data_received(data)
            return
        end = data.find(_HEAD_END) + len(_HEAD_END)
        if self._known.get(data[:end]) == len(data) - end and self._is_free():
            self._started = perf_counter_ns()
            try:
                self._coalescer.ask(data[end:], self, self._started, True)
            except Problem:
                pass  # the parser takes the request to where problems are answered
            else:
                return
        self._learnt = -1
        super().data_received(data)
        if self._learnt == len(data) - end:
            self._known.learn(data[:end], self._learnt)

    # Parser callbacks
    def on_message_begin(self) -> None:
        """Begin a request; the scope waits until it is known to be needed."""
        self._started = perf_counter_ns()
        self._between = False
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Choose the lane."""
        if self._is_plain():
            self._body = []
            self._length = 0
        else:
            self._begin_slow()

    def on_body(self, body: bytes) -> None:
        """Collect the body, up to the limit."""
        if self._body is None:
            super().on_body(body)
            return
        self._body.append(body)
        self._length += len(body)
        if self._length > self._limit:
            self._hand_over()

    def on_message_complete(self) -> None:
        """Answer."""
        keep_alive = self.parser.should_keep_alive() and not self._ending
        self._between = keep_alive and not self.parser.should_upgrade()
        chunks = self._body
        if chunks is None:
            super().on_message_complete()
            return
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        try:
            self._coalescer.ask(body, self, self._started, keep_alive)
        except Problem:
            self._hand_over()
            super().on_message_complete()
        else:
            self._body = None
            if self._between and _TRANSFER_ENCODING not in dict(self.headers):
                self._learnt = self._length

    def _is_free(self) -> bool:
        """Tell whether nothing before a request still waits for its answer, and an answer can be written."""
        return (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing()

    def _is_plain(self) -> bool:
        """Tell whether a request is one that this lane answers: a JSON row by HTTP/1.1, without a special wish."""
        if self.url != _PATH or self.parser.get_method() != _POST or self.parser.get_http_version() != "1.1":
            return False
        if not self._is_free():
            return False
        for name, value in self.headers:
            if name in _NEEDS_THOUGHT or (name == _CONTENT_TYPE and value not in _JSON):
                return False
            if name == _CONTENT_LENGTH and len(value) > self._safe_digits:
                return False
        return True

    def _begin_slow(self) -> None:
        """Give what has been parsed so far to uvicorn's own protocol."""
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers += headers  # the list that the new scope holds
        super().on_headers_complete()

    def _hand_over(self) -> None:
        """Give a fast request to uvicorn's own protocol, body and all."""
        chunks, self._body = self._body, None
        self._begin_slow()
        for chunk in chunks or ():
            super().on_body(chunk)

    # Replies
    def answer(self, reply: bytes, keep_alive: bool) -> None:
        """Write a prediction."""
        default_headers = self.server_state.default_headers
        if default_headers is not self._head_of:  # uvicorn makes a new list with every new date
            lines = b"".join(b"%b: %b\r\n" % header for header in default_headers)
            self._head = b"HTTP/1.1 200 OK\r\n" + lines + b"content-length: %d\r\ncontent-type: application/json\r\n"
            self._head_of = default_headers
        end = b"\r\n" if keep_alive else b"connection: close\r\n\r\n"
        self._write(200, b"".join((self._head % len(reply), end, reply)), keep_alive)

    def _write(self, status: int, reply: bytes, keep_alive: bool) -> None:
        """Write one reply, and keep or close the connection."""
        if self.transport.is_closing():
            return
        self.transport.write(reply)
        self.server_state.total_requests += 1
        if self.access_log:
            host, port = self.client or ("", 0)
            self.access_logger.info('%s - "%s %s HTTP/%s" %d', f"{host}:{port}", "POST", "/predict", "1.1", status)
        if not keep_alive:
            self.transport.close()
        elif self.flow.write_paused:
            self.flow.pause_reading()  # a client that does not read its replies sends no more requests

    def refuse(self, problem: Problem, keep_alive: bool) -> None:
        """Write a problem."""
        self._write(problem.status, self.problem_reply(problem, keep_alive), keep_alive)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, after all that was asked before it."""
        self._coalescer.flush()
        super().send_400_response(msg)

    def resume_writing(self) -> None:
        """Read on when the client has taken its replies."""
        super().resume_writing()
        self.flow.resume_reading()

    # Life of the connection
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection, with one timer for its whole life instead of one a request."""
        super().connection_made(transport)
        self._started = perf_counter_ns()
        self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._close_if_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._idle_timer.cancel()
        super().connection_lost(exc)

    def _close_if_idle(self) -> None:
        """Close a connection on which no request has begun for as long as one may be idle."""
        answering = self.cycle is not None and not self.cycle.response_complete
        left = self.timeout_keep_alive - (perf_counter_ns() - self._started) / 1e9
        if left > 0 or answering:
            again = left if left > 0 else self.timeout_keep_alive
            self._idle_timer = self.loop.call_later(again, self._close_if_idle)
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """End the connection after the request that is being read."""
        self._coalescer.flush()
        if self._body is None:
            super().shutdown()
        else:
            self._ending = True
