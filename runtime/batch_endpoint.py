"""`POST /predict/batch`: which body, which reply, and the way of a batch through the worker."""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runtime.accept import prefer
from runtime.batch_arrays import NpyBatch, RawBatch
from runtime.batch_json import JsonBatch
from runtime.batch_replies import BatchReply, JsonColumns, JsonRows, NpyReply
from runtime.batches import Batch, BatchBody
from runtime.bodies import JSON, may_have_left, media_type, stream_body
from runtime.model import Model
from runtime.problems import Problem
from runtime.worker import get_worker

NPY = "application/x-npy"
RAW = "application/octet-stream"
ARROW = "application/vnd.apache.arrow.stream"

BODY_TYPES = (JSON, NPY, RAW, ARROW)
REPLY_TYPES = (JSON, NPY, ARROW)

_TURN_BYTES = 1 << 20
"""Bytes of rows that are worth a turn while the rest of a body still arrives."""

_SENT_BYTES = 1 << 16
"""Bytes of a reply that are put together, because each part costs a call of the system."""

_HAS_ARROW = find_spec("pyarrow") is not None
_HINT = "; the server lacks pyarrow, which tickline[arrow] installs"


async def batch(request: Request) -> Response:
    """Predict many rows."""
    worker = get_worker(request)
    fail = _choice(request, "on_error", ("entry", "fail")) == "fail"
    kind, (answer, columns) = choose_body(request), choose_reply(request)
    start = partial(start_batch, worker.model, kind, answer, columns, fail, worker.settings.max_batch_rows)
    # The first Arrow stream loads its library, which the event loop must not wait for.
    body, work = await worker.run_batch(start) if ARROW in (kind, answer) else start()
    async for piece in stream_body(request, worker.settings.max_body_bytes):
        body.feed(piece)
        if body.waiting >= _TURN_BYTES:
            while await worker.run_batch(work.advance):  # turn by turn, so that other batches have theirs
                pass
    body.close()
    while (pieces := await worker.run_batch(work.conclude)) is None:
        if await may_have_left(request):
            raise Problem(400, "the client left before the reply")
    worker.count(work.labels.tolist())
    return PiecewiseResponse(pieces, answer)


def start_batch(
    model: Model, kind: str, answer: str, columns: bool, fail: bool, max_rows: int
) -> tuple[BatchBody, Batch]:
    """Return a body that waits for its pieces, and the work on it."""
    body, reply = _body(kind, model, max_rows), _reply(answer, columns, model)
    return body, Batch(model.predictor, body, reply, fail or not reply.marks_errors, max_rows)


def _body(kind: str, model: Model, max_rows: int) -> BatchBody:
    names = model.card.feature_names
    if kind == ARROW:
        from runtime.batch_arrow import ArrowBatch

        return ArrowBatch(names)
    if kind == NPY:
        return NpyBatch(len(names), max_rows)
    if kind == RAW:
        return RawBatch(len(names))
    return JsonBatch(model.decoder, max_rows)


def _reply(kind: str, columns: bool, model: Model) -> BatchReply:
    if kind == ARROW:
        from runtime.batch_arrow import ArrowReply

        return ArrowReply(model.card)
    if kind == NPY:
        return NpyReply()
    return (JsonColumns if columns else JsonRows)(model.replies)


def choose_body(request: Request) -> str:
    """Return the media type of the body; raises Problem."""
    kind = media_type(request, BODY_TYPES)
    if kind == ARROW and not _HAS_ARROW:
        others = " or ".join(BODY_TYPES[:-1])
        raise Problem(415, f"expected {others}, got {ARROW}{_HINT}", field="Content-Type")
    return kind


def choose_reply(request: Request) -> tuple[str, bool]:
    """Return the media type that the client likes best, and whether JSON comes in columns; raises Problem."""
    columns = _choice(request, "layout", ("rows", "columns")) == "columns"
    return preferred_reply(", ".join(request.headers.getlist("accept")) or "*/*", columns)


def preferred_reply(accept: str, columns: bool = False) -> tuple[str, bool]:
    """Return the media type that an `Accept` header likes best, and whether JSON comes in columns; raises Problem."""
    liked = prefer(accept, REPLY_TYPES if _HAS_ARROW else REPLY_TYPES[:-1])
    if liked is None:
        hint = _HINT if not _HAS_ARROW and prefer(accept, (ARROW,)) else ""
        raise Problem(406, f"expected {' or '.join(REPLY_TYPES)}, got {accept}{hint}", field="Accept")
    kind, parameters = liked
    return kind, columns or parameters.get("layout") == "columns"


def _choice(request: Request, name: str, allowed: tuple[str, ...]) -> str:
    """Return a query parameter, the first of what is allowed where it is absent; raises Problem."""
    given = request.query_params.get(name, allowed[0])
    if given not in allowed:
        raise Problem(422, f"expected {' or '.join(allowed)}, got {given!r}", field=name)
    return given


class PiecewiseResponse(Response):
    """A reply that is never put together as a whole; the event loop turns between two parts of it.

    Parameters
    ----------
    pieces : sequence of bytes
        The body, one piece or more.
    kind : str
        Its media type.
    """

    def __init__(self, pieces: Sequence[bytes], kind: str) -> None:
        self._pieces = deque(pieces)
        super().__init__(headers={"Content-Length": str(sum(map(len, pieces)))}, media_type=kind)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the reply."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while True:
            body = self._next()
            await send({"type": "http.response.body", "body": body, "more_body": bool(self._pieces)})
            if not self._pieces:
                return
            await asyncio.sleep(0)

    def _next(self) -> bytes:
        """Return what is sent next: each piece is freed when it is sent, and not all of them at once."""
        taken, pieces = [self._pieces.popleft()], self._pieces
        length = len(taken[0])
        while pieces and length + len(pieces[0]) <= _SENT_BYTES:
            taken.append(pieces.popleft())
            length += len(taken[-1])
        return b"".join(taken)
