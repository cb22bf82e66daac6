"""The fast lane: `POST /predict` answered from the parser's callbacks, everything else by the application.

A prediction takes some microseconds; an ASGI scope, a task and a routed endpoint take many times that. So this protocol
answers the plain case itself, without the parser where the same head has been parsed before. It also refuses a batch
for which there is no room, because a worker that has too much to do should spend least on what it does not do. Whatever
is not plain (another route, a header that needs thought, a body that is refused) it hands to uvicorn's own protocol as
if it had never looked. Batches and inferences of a few rows it answers too. Both lanes answer alike, byte for byte.
"""

import asyncio
from time import perf_counter_ns
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from runtime import logs
from runtime.address import is_host
from runtime.asgi_lane import MOST_DIGITS, MOST_HEADERS, READ_ON, AsgiLane, OverError, Phase
from runtime.bodies import JSON
from runtime.coalescer import Caller
from runtime.deadlines import late, parse_deadline
from runtime.gate import count_rows
from runtime.known_heads import KnownHeads
from runtime.problems import Problem
from runtime.short_requests import BATCH, PATHS, ShortRequest, short_request

_PATH = b"/predict"
_BATCH_PATH = BATCH.encode()
_POST = b"POST"
_HOST = b"host"
_CONTENT_TYPE = b"content-type"
_CONTENT_LENGTH = b"content-length"
_TRANSFER_ENCODING = b"transfer-encoding"
_AUTHORIZATION = b"authorization"
_REQUEST_ID = b"x-request-id"
_DEADLINE = b"x-request-deadline-ms"
_MEANS_SOMETHING = frozenset(
    {
        *(_HOST, _CONTENT_TYPE, _CONTENT_LENGTH, _TRANSFER_ENCODING, _AUTHORIZATION, _REQUEST_ID, _DEADLINE),
        *(b"content-encoding", b"expect", b"upgrade", b"server-timing"),
    }
)
"""Headers of a request that mean something to the application's own `/predict`."""

_PLAIN_VALUES = {
    _CONTENT_TYPE: (b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"),
    _TRANSFER_ENCODING: (b"chunked",),
}
_ASKS_MORE = frozenset({_TRANSFER_ENCODING, _DEADLINE, b"expect", b"upgrade", b"server-timing"})
"""Headers of several rows that are neither answered nor refused before the application has looked at it."""
_HEAD_END = b"\r\n\r\n"


class _ElsewhereError(Exception):
    """A request is answered by the application after all."""


class FastLane(AsgiLane):
    """One connection of which this class answers the predictions; see `AsgiLane` for the rest of it.

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
        worker = self._worker
        self._coalescer = worker.coalescer
        self.traces_all = worker.settings.access_log
        self._safe_digits = len(str(self._limit)) - 1  # a length of no more digits is within the limit
        self._body: list[bytes] | None = None  # of the fast request that is being read
        self._refused: Problem | None = None  # what answers the request that is being read, whatever else it brings
        self._short: ShortRequest | None = None  # what is being read, where it is no plain row
        self._identity = ""  # the id that its client gave it
        self._deadline = 0  # when its client gives up, 0 where it does not say
        self._heads: dict[str, bytes] = {}  # of replies, by their media types
        self._heads_of: list[tuple[bytes, bytes]] | None = None
        self._known = worker.known_heads
        self._between = True  # the parser is at the start of a request, and the connection stays open
        self._learnt = -1  # length of the body of the plain request that the parser has just read
        self._learnt_short: ShortRequest | None = None  # what it asked for, where it was no row

    def data_received(self, data: bytes) -> None:
        """Answer a request whose head is known byte for byte; let the parser read all else."""
        if not self._between:
            super().data_received(data)
            return
        end = data.find(_HEAD_END) + len(_HEAD_END)
        head, length = data[:end], len(data) - end
        try:
            if self._known.get(head) == length and self._is_free():
                self._started = perf_counter_ns()
                self._ask(data[end:], True, "")
                return
            known = self._known.short.get(head)
            if known and known[1] == length and self._is_free():
                self._started = perf_counter_ns()
                self._identity = ""
                self._answer_short(known[0], data[end:], True)
                return
        except (Problem, _ElsewhereError):
            pass  # the parser takes the request to where problems are answered
        self._learnt = -1
        super().data_received(data)
        if self._learnt == length >= 0:  # less than 0 is no whole head
            if self._learnt_short is None:
                self._known.learn(head, length)
            else:
                self._known.learn_short(head, self._learnt_short, length)
        elif self._deadline and self._body is not None:
            self._hand_over()  # the application refuses in time what may not be whole in time

    # Parser callbacks
    def on_message_begin(self) -> None:
        """Begin a request; the scope waits until it is known to be needed. Raises where none is read any more."""
        if self._phase == Phase.OVER:
            raise OverError
        self._phase = Phase.HEAD
        self._started = perf_counter_ns()
        self._between = False
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Choose the lane."""
        if self._is_plain():
            self._phase = Phase.BODY
            self._body = []
            self._received = self._chunks = self._excess = 0
        elif self.url.startswith(PATHS) and (headers := self._plain_headers()) is not None:
            self._choose(headers)
        else:
            self._begin_slow()

    def _choose(self, headers: dict[bytes, bytes]) -> None:
        """Answer several rows, refuse them, or leave them to the application."""
        worker, length = self._worker, int(headers[_CONTENT_LENGTH])
        self._identity = logs.accept_id(headers[_REQUEST_ID]) if _REQUEST_ID in headers else ""
        self._deadline = 0
        if short := short_request(worker, self.url, headers, length):
            self._short, self._body = short, []
        elif refused := self._refuse_batch(headers):
            self._refused = refused
        else:
            self._begin_slow()
            return
        self._phase = Phase.BODY
        self._received = self._chunks = self._excess = 0

    def on_body(self, body: bytes) -> None:
        """Collect the body, up to the limit; drop that of a refused batch."""
        if self._refused is not None:
            self._received += len(body)
            return
        if self._body is None:
            super().on_body(body)
            return
        self._body.append(body)
        self._received += len(body)
        if self._received > self._limit:
            self._hand_over()

    def on_message_complete(self) -> None:
        """Answer."""
        keep_alive = self.parser.should_keep_alive() and self._worker.ready and not self._ending
        self._between = keep_alive and not self.parser.should_upgrade()
        if self._refused is not None:
            self._answer_refused(self._refused, keep_alive)
            return
        chunks = self._body
        if chunks is None:
            super().on_message_complete()
            return
        try:
            if self._deadline and perf_counter_ns() > self._deadline:
                raise late()
            body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            if self._short is not None:
                self._answer_short(self._short, body, keep_alive)
            else:
                self._ask(body, keep_alive, self._identity)
        except (Problem, _ElsewhereError):
            self._hand_over()
            super().on_message_complete()
        else:
            if self._between and self._comes_again():
                self._learnt = self._received
                self._learnt_short = self._short
            self._short, self._body = None, None
            self._phase = Phase.IDLE if keep_alive else Phase.OVER

    def _is_free(self) -> bool:
        """Tell whether nothing before a request still waits for its answer, and an answer can be written."""
        return (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing()

    def _is_plain(self) -> bool:
        """Tell whether a request is one that this lane answers: a JSON row by HTTP/1.1, without a special wish."""
        if self.url != _PATH or self.parser.get_method() != _POST or self.parser.get_http_version() != "1.1":
            return False
        if not self._is_free() or not self.predicts:
            return False
        if len(self.headers) > MOST_HEADERS:
            return False
        if self._most_head_bytes + len(self.headers) > self._head_limit and self._head_size() > self._head_limit:
            return False
        hosts, authorization = 0, None
        self._identity, self._deadline = "", 0
        for name, value in self.headers:
            if name not in _MEANS_SOMETHING:
                continue
            if name == _CONTENT_LENGTH:
                if len(value) > self._safe_digits:
                    return False
            elif name == _HOST:
                if not is_host(value):
                    return False
                hosts += 1
            elif name == _AUTHORIZATION:
                if authorization is not None:
                    return False
                authorization = value
            elif name == _REQUEST_ID:
                self._identity = self._identity or logs.accept_id(value)  # the first, as of the other lane
            elif name == _DEADLINE and (deadline := parse_deadline(value, self._started)):
                self._deadline = deadline
            elif value not in _PLAIN_VALUES.get(name, ()):
                return False
        return hosts == 1 and self._worker.predict_tokens.admit(authorization or b"")

    def _plain_headers(self) -> dict[bytes, bytes] | None:
        """Return the headers of a request by HTTP/1.1 with a short body and without a special wish; None for others."""
        if self.parser.get_method() != _POST or self.parser.get_http_version() != "1.1":
            return None
        if not self._is_free() or not self.predicts or self.traces_all:
            return None
        headers = dict(self.headers)
        if len(headers) < len(self.headers) or len(headers) > MOST_HEADERS or not _ASKS_MORE.isdisjoint(headers):
            return None
        length = headers.get(_CONTENT_LENGTH, b"")
        if not length.isdigit() or len(length) > MOST_DIGITS:
            return None
        if _HOST not in headers or not is_host(headers[_HOST]):
            return None
        if int(length) > min(READ_ON, self._limit):
            return None
        if self._most_head_bytes + 2 * len(headers) > self._head_limit and self._head_size() > self._head_limit:
            return None
        return headers if self._worker.predict_tokens.admit(headers.get(_AUTHORIZATION, b"")) else None

    def _answer_short(self, request: ShortRequest, body: bytes, keep_alive: bool) -> None:
        """Answer a few rows; raises `_ElsewhereError` where the application has to."""
        if request.model() is not self._worker.model:
            raise _ElsewhereError  # what a head asks for depends on the model
        try:
            reply = request.answer(self._worker, body, self._started)
        except Exception as error:  # whatever it is, it comes again where it is worded or logged
            raise _ElsewhereError from error
        if reply is None:
            raise _ElsewhereError
        self._coalescer.flush()  # what was asked before it is answered before it
        self.answer(reply.content, keep_alive, self._identity, reply.kind, reply.more)
        metrics = self._worker.metrics
        metrics.begin()
        now = perf_counter_ns()
        metrics.end(request.route, "POST", 200, now - self._started)
        if busy_poll := self._worker.busy_poll:
            busy_poll.stay(now)

    def _refuse_batch(self, headers: dict[bytes, bytes]) -> Problem | None:
        """Return why there is no room for a batch; None where there is, or where the application has to look."""
        admission = self._worker.admission
        if not admission.busy or self.url.partition(b"?")[0] != _BATCH_PATH:
            return None
        refused: Problem | None = admission.refuse_bulk(count_rows(self._worker, BATCH, headers))
        return refused

    def _answer_refused(self, problem: Problem, keep_alive: bool) -> None:
        """Refuse a batch whose body has been dropped. Its client comes to read the refusal, and can go on."""
        self._refused = None
        self._phase = Phase.IDLE if keep_alive else Phase.OVER
        self._coalescer.flush()
        metrics = self._worker.metrics
        metrics.begin()
        metrics.end(BATCH, "POST", problem.status, perf_counter_ns() - self._started)
        self.refuse(problem, keep_alive, self._identity)

    def _comes_again(self) -> bool:
        """Tell whether the head of the request just read is worth to be remembered, and says how long its body is."""
        return not self._identity and not self._deadline and not self._chunks

    def _begin_slow(self) -> None:
        """Give what has been parsed so far to uvicorn's own protocol."""
        url, headers, expect, started = self.url, self.headers, self.expect_100_continue, self._started
        super().on_message_begin()
        self.url, self.expect_100_continue, self._started = url, expect, started
        self.headers += headers  # the list that the new scope holds
        super().on_headers_complete()

    def _hand_over(self) -> None:
        """Give a fast request to uvicorn's own protocol, body and all."""
        chunks, self._body, self._short = self._body, None, None
        self._drop_trailers()
        self._begin_slow()
        for chunk in chunks or ():
            super().on_body(chunk)

    def _drop_trailers(self) -> None:
        """Let the headers of a fast request be those of its head alone, which has no `Expect`."""
        if self._chunks:
            self.headers, self.expect_100_continue = self._head, False

    # Replies
    def _ask(self, body: bytes, keep_alive: bool, identity: str) -> None:
        """Ask for a prediction, or refuse it where the worker has too much to do; raises Problem."""
        caller: Caller = self
        if identity or self.traces_all:
            caller = _Traced(self, identity or logs.new_id(), self._started)
        self._coalescer.ask(body, caller, self._started, keep_alive)

    def answer(self, reply: bytes, keep_alive: bool, identity: str = "", kind: str = JSON, more: bytes = b"") -> None:
        """Write a reply with status 200, of a media type, with further lines of headers."""
        default_headers = self.server_state.default_headers
        if default_headers is not self._heads_of:  # uvicorn makes a new list with every new date
            self._heads, self._heads_of = {}, default_headers
        head = self._heads.get(kind)
        if head is None:
            lines = b"".join(b"%b: %b\r\n" % header for header in default_headers)
            head = b"HTTP/1.1 200 OK\r\n%b%%bcontent-length: %%d\r\ncontent-type: %b\r\n" % (lines, kind.encode())
            self._heads[kind] = head
        end = b"\r\n" if keep_alive else b"connection: close\r\n\r\n"
        if identity:
            end = b"x-request-id: %b\r\n%b" % (identity.encode(), end)
        self._write(b"".join((head % (more, len(reply)), end, reply)), keep_alive)

    def refuse(self, problem: Problem, keep_alive: bool, identity: str = "") -> None:
        """Write a problem."""
        self._write(self.problem_reply(problem, keep_alive, identity), keep_alive)

    def _write(self, reply: bytes, keep_alive: bool) -> None:
        """Write one reply, and keep or close the connection."""
        if self.transport.is_closing():
            return
        self.transport.write(reply)
        self.server_state.total_requests += 1
        if not keep_alive:
            self.end()
        elif self.flow.write_paused:
            self.flow.pause_reading()  # a client that does not read its replies sends no more requests

    def reject(self, problem: Problem, reason: str) -> None:
        """Answer what is not read to its end, after all that was asked before it."""
        self._coalescer.flush()
        if self._body is not None:
            self._body, self._short, self._phase = None, None, Phase.HEAD  # the application has not seen it
            self._drop_trailers()
        elif self._refused is not None:
            self._refused, self._phase = None, Phase.HEAD
        super().reject(problem, reason)

    def resume_writing(self) -> None:
        """Read on when the client has taken its replies."""
        super().resume_writing()
        if not self.pipeline:
            self.flow.resume_reading()

    def eof_received(self) -> bool:  # type: ignore[override] # which a transport understands, and uvicorn never uses
        """Answer what a client has asked before it half closed its connection."""
        self._coalescer.flush()
        return super().eof_received()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        super().connection_made(transport)
        if not self.predicts:
            self._known = KnownHeads()

    def shutdown(self) -> None:
        """End the connection after the request that it has brought or begun to bring."""
        self._coalescer.flush()
        self._known = KnownHeads()  # which let a connection stay open
        if self._body is None and self._refused is None:
            super().shutdown()
        else:
            self._ending = True


class _Traced:
    """A request with an id, which its reply and its line in the access log carry."""

    def __init__(self, lane: FastLane, identity: str, started: int) -> None:
        self._lane = lane
        self._identity = identity
        self._started = started

    def answer(self, reply: bytes, keep_alive: bool) -> None:
        """Write a prediction."""
        self._lane.answer(reply, keep_alive, self._identity)
        self._log(200)

    def refuse(self, problem: Problem, keep_alive: bool) -> None:
        """Write a problem."""
        self._lane.refuse(problem, keep_alive, self._identity)
        self._log(problem.status)

    def _log(self, status: int) -> None:
        lane = self._lane
        if lane.traces_all:
            duration = perf_counter_ns() - self._started
            logs.log_access(lane.client, "POST", "/predict", status, duration, self._identity)
