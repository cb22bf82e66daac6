"""One connection, bounded in time and in size, of which the application answers every request."""

import asyncio
import re
import socket
from bisect import bisect_left
from contextlib import suppress
from functools import partial
from time import perf_counter_ns
from typing import Any

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from runtime import logs
from runtime.address import is_host
from runtime.admission import too_many_connections
from runtime.bodies import LEFT
from runtime.lingering import Lingering
from runtime.problems import Problem
from runtime.small_pieces import LARGE, SmallPieces
from runtime.stages import STARTED

MOST_HEADERS = 100
"""Headers of one request."""

MOST_DIGITS = 20
"""Digits of a body's length; Python makes no integer of thousands of them, which may all be zeros."""

LEAST_RATE = 1000
"""Bytes a second that a body brings, on average over BODY_SECONDS."""

_CHUNK_FRAME = 16  # bytes around a chunk that no one minds: its size, and three line ends
_GOODBYE_SECONDS = 1.0
_REQUEST_LINE = re.compile(rb"(?:\r\n)*([!#$%&'*+.^_`|~0-9A-Za-z-]+) [!-~]+ HTTP/1\.[01]\r\n")
_BEGINNING = re.compile(rb"(?:\r\n)*[!#$%&'*+.^_`|~0-9A-Za-z-]+(?: [!-~]*(?: [!-~]{0,8}\r?)?)?")  # of such a line

READ_ON = 2**18
"""Bytes of a refused body that are still read, so that its client comes to read the refusal."""

GATHERED_BYTES = 2**20
"""Longest body that the application gets as a whole. Fewer rows are not worth a turn before all have come, and to wake
the application for each piece, and pause the connection until it has been, takes as long as some hundreds of them."""


class Phase:
    """What of a request is being read."""

    IDLE, HEAD, BODY, OVER = range(4)  # after the last request nothing more is read


class OverError(Exception):
    """A request comes behind the one whose reply ends the connection."""


class AsgiLane(HttpToolsProtocol):
    """One connection; see uvicorn's `HttpToolsProtocol` for all that is not about bounds.

    A client that is too slow, or sends what no application should see, is told so and loses its connection.

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
        self._worker = worker = config.loaded_app.worker
        settings = worker.settings
        self._limit = settings.max_body_bytes
        self._head_limit = settings.max_header_bytes
        self._head_seconds = settings.header_seconds
        self._body_seconds = settings.body_seconds
        self._phase = Phase.IDLE  # what is being read
        self._started = perf_counter_ns()  # when the connection or its newest request began
        self._head_bytes = 0  # of the newest request's head, what came after the piece that it began in
        self._most_head_bytes = 0  # the same with that piece, which may have been the end of another request
        self._received = 0  # bytes of the newest request's body
        self._chunks = self._excess = 0  # of it, and bytes around them that are too many
        self._head: list[tuple[bytes, bytes]] = []  # headers of the newest request that has chunks
        self.predicts = True  # other than a port for metrics alone
        self._in_small_pieces = False  # what comes now
        self._gathered: list[bytes] | None = None  # of a body that the application gets as a whole
        self._ending = False  # the next reply is the last one
        self._line = b""  # pieces of a request line, before its target has come
        self._timer: asyncio.TimerHandle
        self._mark = (0, 0, 0)  # a moment in a body: when its request began, when it was, and what had come
        self._unsent = 0
        self._answering: RequestResponseCycle | None = None  # what the application was given last
        self._answered = 0  # when the application's newest reply was complete

    # Life of the connection
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection, or turn it away where there are too many."""
        super().connection_made(transport)
        metrics_port = self._worker.settings.metrics_port
        self.predicts = not metrics_port or self.server is None or self.server[1] != metrics_port
        self._interval = min(self._head_seconds, self._body_seconds, self.timeout_keep_alive)
        self._timer = self.loop.call_later(self._interval, self._watch)
        if len(self.connections) > self._worker.settings.max_connections:
            self.connections.discard(self)  # a stop does not wait for it, and it takes no place
            self._worker.metrics.rejected("connections")
            transport.write(self.problem_reply(too_many_connections(), keep_alive=False))
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._timer.cancel()
        if self._answering is not None:  # of requests that came together uvicorn tells only the newest one
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)
        self.cycle = self._answering = None  # type: ignore[assignment] # which know this connection in their turn

    def eof_received(self) -> bool:  # type: ignore[override] # which a transport understands, and uvicorn never uses
        """Answer what a client has asked before it half closed its connection, and end that then.

        What it has not asked to the end nobody waits for; and TLS cannot be half closed.
        """
        cycle = self.cycle
        if cycle is None or cycle.response_complete or self._phase in (Phase.HEAD, Phase.BODY):
            return False
        if self.scheme == "https":
            return False
        for asked in (self._answering, *(queued for queued, _ in self.pipeline)):
            asked.scope[LEFT] = True  # type: ignore[literal-required,union-attr]
        self._ending = True
        cycle.keep_alive = False
        return True

    def end(self) -> None:
        """End the connection after what has been written, so that its client comes to read that."""
        transport = self.transport
        if transport.is_closing():
            return
        self._phase = Phase.OVER
        self.pipeline.clear()
        self._timer.cancel()
        self.flow.resume_reading()
        if self._ending or not transport.can_write_eof():
            transport.close()  # a stop waits for nobody; and TLS reads on by itself until its client has said goodbye
            return
        gave_up = partial(self._worker.metrics.rejected, "slow")
        self.transport = Lingering(transport, self, self.loop, self.timeout_keep_alive, gave_up)

    def shutdown(self) -> None:
        """End the connection after the request that it has brought or begun to bring."""
        self._ending = True
        if self.transport.is_closing():
            self._part()  # it lingers no longer
        elif self._phase == Phase.IDLE and not self._is_answering():
            self._leave()
        elif self._phase != Phase.HEAD:
            super().shutdown()

    def _leave(self) -> None:
        """End the connection, which is idle, unless its client has sent something: then that is read first.

        What a client sends from now on finds the connection ended, and not reset: it can tell that nobody has read it.
        """
        if self._phase != Phase.IDLE or self._is_answering() or self.transport.is_closing():
            return
        stream = socket.socket(fileno=self.transport.get_extra_info("socket").fileno())
        waits = False
        try:
            with suppress(OSError):  # nothing waits, or the client has gone
                waits = bool(stream.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
            if not waits and self.scheme == "http" and not self.transport.get_write_buffer_size():
                with suppress(OSError):
                    stream.shutdown(socket.SHUT_WR)
        finally:
            stream.detach()  # it is the transport's
        if waits and not self.flow.read_paused:
            self.loop.call_soon(self._leave)
        else:
            self._part()

    def _part(self) -> None:
        """Close the connection."""
        self.transport.close()
        if self.scheme == "https" and self._phase in (Phase.IDLE, Phase.OVER):
            # TLS waits 30 s for the goodbye of a client, which an idle one does not send.
            self.loop.call_later(_GOODBYE_SECONDS, self.transport.abort)

    # Bounds of time
    def _watch(self) -> None:
        """End the connection where its client is too slow; else look again when it may be."""
        now = perf_counter_ns()
        left: float = self._interval
        if self.flow.write_paused:
            unsent, self._unsent = self._unsent, self.transport.get_write_buffer_size()
            if self._unsent == unsent and now - self._started > self.timeout_keep_alive * 10**9:
                self._worker.metrics.rejected("slow")
                self.transport.abort()  # nothing of the reply has been taken since the last look
                return
        elif self._phase == Phase.BODY:
            self._watch_body(now)
        elif self._is_answering():
            pass
        elif self._phase == Phase.HEAD:
            left = self._head_seconds - (now - self._started) / 1e9
            if left <= 0:
                self.reject(Problem(408, f"the headers took more than {self._head_seconds} s"), "slow")
        else:
            left = self.timeout_keep_alive - (now - max(self._started, self._answered)) / 1e9
            if left <= 0:
                self.transport.close()
        if not self.transport.is_closing():
            self._timer = self.loop.call_later(min(left, self._interval), self._watch)

    def _is_answering(self) -> bool:
        """Tell whether the application has not answered all that it has been asked."""
        return self.cycle is not None and not self.cycle.response_complete

    def timeout_keep_alive_handler(self) -> None:
        """Leave idle connections to `_watch`: uvicorn's own timer knows nothing of requests that pass by its parser."""

    def _watch_body(self, now: int) -> None:
        """Refuse a body that comes too slowly, unless it is the server that does not read it."""
        request, since, received = self._mark
        if request != self._started or self.flow.read_paused:
            self._mark = self._started, now, self._received
        elif now - since >= self._body_seconds * 10**9:
            if self._received - received < self._body_seconds * LEAST_RATE:
                slow = f"the body brought less than {LEAST_RATE} bytes a second for {self._body_seconds} s"
                self.reject(Problem(408, slow), "slow")
            self._mark = self._started, now, self._received

    # Bounds of size, and framing that means one thing to every reader
    def data_received(self, data: bytes) -> None:
        """Parse what has come; a problem that a callback raises ends the connection."""
        self._unset_keepalive_if_required()
        left: bytes | memoryview = data
        while left:
            left = self._parse(left)

    def _parse(self, data: bytes | memoryview) -> bytes | memoryview:
        """Parse what has come; return what of it is to be parsed still."""
        phase, started, received, chunks = self._phase, self._started, self._received, self._chunks
        if phase == Phase.OVER:
            return b""
        self._most_head_bytes = len(data) + (self._most_head_bytes if phase == Phase.HEAD else 0)
        try:
            self.parser.feed_data(data)
            if self._phase == Phase.HEAD:
                self._head_bytes = (
                    self._head_bytes + len(data) if (phase, started) == (Phase.HEAD, self._started) else 0
                )
                if self._head_bytes > self._head_limit:
                    raise _head_too_large(self._head_limit)
                if phase == Phase.IDLE or self._line:
                    self._line = b"" if self.url else self._pieces(phase, data)
            elif phase == self._phase == Phase.BODY and started == self._started and self._chunks:
                self._check_frame(len(data) - (self._received - received) - (self._chunks - chunks) * _CHUNK_FRAME)
        except Problem as problem:
            self.reject(problem, "malformed")
        except httptools.HttpParserUpgrade as upgrade:
            # No other protocol is spoken here; but the parser takes all behind the head, also a body, for one.
            self._parse(self._head_without_upgrade())
            return memoryview(data)[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            raised = error.__context__
            if not isinstance(raised, Problem):
                raised = _no_http()
                if isinstance(error, httptools.HttpParserInvalidMethodError) and (phase == Phase.IDLE or self._line):
                    line = self._pieces(phase, data)
                    line = line[_last_beginning(line) :]
                    if len(line) <= self._head_limit and _BEGINNING.fullmatch(line):
                        self._await_line(line)
                        return b""
                    raised = _unknown_method(line) or raised
            self.reject(raised, "malformed")
        return b""

    def _pieces(self, phase: int, data: bytes | memoryview) -> bytes:
        """Return what has come since the requests before were over, with the newest piece."""
        return bytes(data) if phase == Phase.IDLE else self._line + data

    def _await_line(self, line: bytes) -> None:
        """Wait for the rest of a line with a method that the parser does not know, and takes no further."""
        if self._phase == Phase.IDLE:
            self.on_message_begin()
        self._line = line

    def _head_without_upgrade(self) -> bytes:
        """Return the head of the newest request as its client would send it that has no wish for another protocol."""
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join((*lines, b"", b""))

    def _check_frame(self, excess: int) -> None:
        """Bound what a chunked body has beside its content: extensions of chunks, and trailers; raises Problem."""
        self._excess = max(0, self._excess + excess)
        if self._excess > self._head_limit:
            raise Problem(400, f"expected at most {self._head_limit} bytes around the chunks of a body", field="body")

    def on_message_begin(self) -> None:
        """Begin a request; raises where none is read any more."""
        if self._phase == Phase.OVER:
            raise OverError
        super().on_message_begin()
        self._phase = Phase.HEAD
        self._started = perf_counter_ns()

    def on_headers_complete(self) -> None:
        """Check the head and hand it on; raises Problem."""
        self._check_head()
        if self.parser.should_upgrade():
            return  # it comes again without that wish
        self._received = self._chunks = self._excess = 0
        self.scope[STARTED] = self._started  # type: ignore[literal-required]
        super().on_headers_complete()  # refuses some targets, and then the application has not seen the request
        self.cycle.transport = _Wire(self)  # type: ignore[assignment]
        self._phase = Phase.BODY
        length = next((int(value) for name, value in self.headers if name == b"content-length"), 0)
        self._gathered = [] if 0 < length <= min(GATHERED_BYTES, self._limit) else None
        if self._ending or not self._worker.ready:
            self.cycle.keep_alive = False

    def _check_head(self) -> None:
        """Refuse a head that is too large, or that two readers could take for two things; raises Problem."""
        names = [name for name, _ in self.headers]
        # What has come since before the head began bounds it, but for a space and a line end a header; so most heads
        # need no sum.
        if self._most_head_bytes + 2 * len(names) > self._head_limit and self._head_size() > self._head_limit:
            raise _head_too_large(self._head_limit)
        if len(names) > MOST_HEADERS:
            raise Problem(431, f"expected at most {MOST_HEADERS} headers, got {len(names)}")
        if self.parser.get_method() == b"CONNECT":
            raise Problem(501, "expected another method than CONNECT, whose body would be taken for the next request")
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise Problem(505, f"expected HTTP/1.1 or HTTP/1.0, got HTTP/{version}")
        hosts = names.count(b"host")
        if hosts > 1 or (not hosts and version == "1.1"):
            raise Problem(400, f"expected 1 header, got {hosts}", field="Host")
        if hosts and not is_host(host := self.headers[names.index(b"host")][1]):
            raise Problem(400, f"expected a host and perhaps a port, got {host.decode('latin-1')}", field="Host")
        if b"content-length" in names:
            digits = len(self.headers[names.index(b"content-length")][1])
            if digits > MOST_DIGITS:
                raise Problem(400, f"expected at most {MOST_DIGITS} digits, got {digits}", field="Content-Length")
        if b"transfer-encoding" in names:
            for value in [value for name, value in self.headers if name == b"transfer-encoding"]:
                if version == "1.0":
                    raise Problem(400, "expected none with HTTP/1.0", field="Transfer-Encoding")
                if value.lower() != b"chunked":
                    raise Problem(501, "expected chunked and no other encoding", field="Transfer-Encoding")

    def _head_size(self) -> int:
        """Return the bytes of request line and headers, as they would be without superfluous white space."""
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Give a request to the application."""
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Begin the next request that has been read, and read no more before all of them are answered."""
        self._answered = perf_counter_ns()
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()

    def on_chunk_header(self) -> None:
        """Count a chunk. Headers that come from now on are trailers, which no one takes for headers."""
        if not self._chunks:
            self._head, self.headers = self.headers, []
        self._chunks += 1

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body; one that was refused is not read for ever."""
        self._received += len(body)
        if self._gathered is not None:
            if not self.cycle.response_complete:  # else it was refused
                self._gathered.append(body)
            return
        super().on_body(body)
        if self._received > LARGE and not self._in_small_pieces:
            self._in_small_pieces = True
            self.transport.set_protocol(SmallPieces(self))
        if self.cycle.response_complete and self._received > self._limit + READ_ON:
            self.end()

    def on_message_complete(self) -> None:
        """End a request."""
        if self.parser.should_upgrade():
            return
        if self._phase != Phase.OVER:
            self._phase = Phase.IDLE
        if self._gathered is not None:
            self.cycle.body = bytearray().join(self._gathered)
            self._gathered = None
        if self._in_small_pieces:
            self._in_small_pieces = False
            self.transport.set_protocol(self)
        super().on_message_complete()

    # Replies that no application makes
    def problem_reply(self, problem: Problem, keep_alive: bool, identity: str = "") -> bytes:
        """Return a whole reply, with the headers and in the order of the application's own."""
        response = problem.response()
        headers = [*self.server_state.default_headers, *response.raw_headers]
        if identity:
            headers.append((b"x-request-id", identity.encode()))
        if not keep_alive:
            headers.append((b"connection", b"close"))
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        return b"".join((STATUS_LINE[problem.status], lines, b"\r\n", response.body))

    def reject(self, problem: Problem, reason: str) -> None:
        """Answer what is not read to its end, after all before it, and close: the next request could begin anywhere."""
        if self._phase == Phase.OVER or self.transport.is_closing():
            return
        self._worker.metrics.rejected(reason)
        identity = self._identify()
        cycle, phase, self._phase = self.cycle, self._phase, Phase.OVER
        pending = cycle is not None and not cycle.response_complete
        if phase == Phase.BODY and not self.pipeline:  # the application has the request, or has answered it already
            if pending and not cycle.response_started:
                self.transport.write(self.problem_reply(problem, keep_alive=False, identity=identity))
            cycle.disconnected = True
            self.end()
        elif not pending:
            self.transport.write(self.problem_reply(problem, keep_alive=False, identity=identity))
            self.end()
        else:
            if phase == Phase.BODY:
                self.pipeline.popleft()  # what the application has not seen yet
            self._answer_later(problem, identity)

    def _identify(self) -> str:
        """Return the id of the request that is being read, empty where none has come."""
        if self._phase not in (Phase.HEAD, Phase.BODY):
            return ""
        headers = self._head if self._phase == Phase.BODY and self._chunks else self.headers
        return next((logs.accept_id(value) for name, value in headers if name == b"x-request-id"), "")

    def _answer_later(self, problem: Problem, identity: str) -> None:
        """Answer with a problem when all requests before it have been answered, and close."""
        self.cycle = RequestResponseCycle(
            scope={"type": "http", "method": "GET"},  # type: ignore[typeddict-item]
            transport=_Wire(self),  # type: ignore[arg-type]
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )
        response = problem.response()
        if identity:
            response.headers["x-request-id"] = identity
        self.pipeline.appendleft((self.cycle, response))  # type: ignore[arg-type]


class _Wire:
    """What uvicorn's cycle of a request and its reply needs of the connection's transport."""

    def __init__(self, lane: AsgiLane) -> None:
        self._lane = lane

    def write(self, data: bytes) -> None:
        """Write."""
        self._lane.transport.write(data)

    def is_closing(self) -> bool:
        """Tell whether nothing more can be written."""
        return self._lane.transport.is_closing()

    def close(self) -> None:
        """End the connection after what has been written."""
        self._lane.end()


def _head_too_large(limit: int) -> Problem:
    return Problem(431, f"expected at most {limit} bytes of request line and headers")


def _no_http() -> Problem:
    return Problem(400, "Invalid HTTP request received.")


def _unknown_method(data: bytes) -> Problem | None:
    """Return the refusal of a request with a method that is none of HTTP's; None for all else."""
    line = _REQUEST_LINE.match(data)
    if line is None:
        return None
    try:
        httptools.HttpRequestParser(object()).feed_data(line[0])
    except httptools.HttpParserInvalidMethodError:
        return Problem(501, f"expected a method of HTTP, got {line[1].decode()}")
    except httptools.HttpParserError:
        pass
    return None


class _Beginnings:
    """Counts the requests that a parser begins."""

    count = 0

    def on_message_begin(self) -> None:
        self.count += 1


def _last_beginning(data: bytes) -> int:
    """Return where the last of some requests begins, which a parser does not tell, by parsing ever less of them."""

    def begun(end: int) -> int:
        beginnings = _Beginnings()
        with suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
            httptools.HttpRequestParser(beginnings).feed_data(data[:end])
        return beginnings.count

    return max(0, bisect_left(range(len(data)), begun(len(data)), key=begun) - 1)
