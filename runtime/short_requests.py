"""Requests of a few rows that the fast lane answers in the turn of the event loop that has read them.

To hand a batch to another thread and back takes longer than some hundreds of rows, and what an application framework
does for a request as long as some tens; and what is done within the time that any batch may hold up the event loop need
not wait behind longer ones.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import NamedTuple
from weakref import ref

from runtime.bars import decode_body
from runtime.bars_endpoints import BARS, SHORT_BODY, SYMBOL_BARS, answer_next, answer_short, is_short
from runtime.batch_endpoint import ARROW, NPY, RAW, preferred_reply, start_batch
from runtime.bodies import JSON
from runtime.forecast import check_ticker
from runtime.gate import count_rows
from runtime.inference_endpoints import INFER, JSON_LENGTH, OCTETS
from runtime.inference_json import decode_request, encode_reply
from runtime.inference_service import SMALL_BYTES, answer_inference
from runtime.model import Model
from runtime.offer import offer_bars
from runtime.problems import Problem
from runtime.stages import Stopwatch
from runtime.worker import Worker

MOST_BYTES = 1 << 17
"""Bytes of a short body: JSON of this length is read in some 150 us."""

BATCH = "/predict/batch"

PATHS = (BATCH.encode(), BARS.encode(), b"/v2/models/", b"/symbols/")
"""What the target of a request begins with that may be short."""

_CONTENT_TYPES = {
    b"application/json": JSON,
    b"application/json; charset=utf-8": JSON,
    b"application/json;charset=utf-8": JSON,
    NPY.encode(): NPY,
    RAW.encode(): RAW,
}
_JSON_LENGTH = JSON_LENGTH.lower().encode()
_SYMBOL = re.compile(rb"/symbols/([A-Za-z0-9^._=:-]+)/bars")  # nothing in it is escaped
_LONGEST_ACCEPT = 256  # bytes; longer ones are for the application
_MOST_DIGITS = 15

_preferred_reply = lru_cache(256)(preferred_reply)


class Reply(NamedTuple):
    """A reply with status 200.

    Attributes
    ----------
    content : bytes
        Its body.
    kind : str
        Its media type.
    more : bytes
        Lines of further headers.
    """

    content: bytes
    kind: str
    more: bytes = b""


class ShortRequest(NamedTuple):
    """What the head of a short request asks for.

    Attributes
    ----------
    model : ref to Model
        The model that it was asked of; where another one is served now, it may ask for something else. Weak, so that
        a head that is remembered keeps no model from being freed.
    route : str
        By which it is counted.
    answer : callable
        Predicts what the whole body asks for and counts it, by the worker, the body and when the request began. Raises
        Problem or returns None, and has done nothing then, where the application has to.
    """

    model: ref[Model]
    route: str
    answer: Callable[[Worker, bytes, int], Reply | None]


def short_request(worker: Worker, target: bytes, headers: Mapping[bytes, bytes], length: int) -> ShortRequest | None:
    """Return what the head of a POST request asks for; None where it is not short, or not plain.

    Parameters
    ----------
    worker : Worker
        Has the model, and with it the time of a row.
    target : bytes
        The request's target.
    headers : mapping of bytes to bytes
        All headers, none of which is given twice.
    length : int
        Bytes of the body.
    """
    kind = _CONTENT_TYPES.get(headers.get(b"content-type", b""))
    if kind is None or length > MOST_BYTES or b"content-encoding" in headers:
        return None
    if target.endswith(b"/bars"):
        return _bars(worker, target) if kind == JSON and length <= SHORT_BODY else None
    if not worker.model.predictor.takes_a_moment(count_rows(worker, BATCH, headers)):
        return None
    if target == BATCH.encode():
        return _batch(worker.model, kind, headers.get(b"accept", b"*/*"))
    if length <= SMALL_BYTES and kind in (JSON, OCTETS) and target == b"/v2/models/%b/infer" % worker.model.name:
        return _inference(worker.model, headers.get(_JSON_LENGTH))
    return None


def _batch(model: Model, kind: str, accept: bytes) -> ShortRequest | None:
    if len(accept) > _LONGEST_ACCEPT:
        return None
    try:
        answer, columns = _preferred_reply(accept.decode("latin-1"))
    except Problem:
        return None
    return None if answer == ARROW else ShortRequest(ref(model), BATCH, partial(_answer_batch, kind, answer, columns))


def _answer_batch(kind: str, answer: str, columns: bool, worker: Worker, body: bytes, started: int) -> Reply:
    rows, work = start_batch(worker.model, kind, answer, columns, fail=False, max_rows=worker.settings.max_batch_rows)
    rows.feed(body)
    rows.close()
    while (pieces := work.conclude()) is None:
        pass
    worker.count(work.labels.tolist())
    return Reply(b"".join(pieces), answer)


def _inference(model: Model, json_length: bytes | None) -> ShortRequest | None:
    if json_length is not None and not (json_length.isdigit() and len(json_length) <= _MOST_DIGITS):
        return None
    length = None if json_length is None else int(json_length)
    return ShortRequest(ref(model), INFER, partial(_answer_inference, length))


def _answer_inference(json_length: int | None, worker: Worker, body: bytes, started: int) -> Reply:
    model = worker.model
    inference = decode_request(body, json_length, model.card, worker.settings.max_batch_rows)
    counts, (length, content) = answer_inference(model, inference, encode_reply)
    worker.count(counts)
    if length is None:
        return Reply(content, JSON)
    return Reply(content, OCTETS, b"%b: %d\r\n" % (_JSON_LENGTH, length))


def _bars(worker: Worker, target: bytes) -> ShortRequest | None:
    if not offer_bars(worker.model.card.feature_specification).offered:
        return None
    if target == BARS.encode():
        return ShortRequest(ref(worker.model), BARS, _answer_bars)
    symbol = _SYMBOL.fullmatch(target)
    if symbol is None or worker.settings.workers > 1:
        return None
    return ShortRequest(ref(worker.model), SYMBOL_BARS, partial(_answer_bar, symbol[1].decode()))


def _answer_bars(worker: Worker, body: bytes, started: int) -> Reply | None:
    asked, watch = decode_body(body), Stopwatch(started)
    return Reply(answer_short(worker, asked, watch), JSON) if is_short(asked, worker) else None


def _answer_bar(ticker: str, worker: Worker, body: bytes, started: int) -> Reply:
    check_ticker(ticker, "ticker")
    return Reply(answer_next(worker, ticker, body), JSON)
