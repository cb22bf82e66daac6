"""Batches of a few rows, answered by the fast lane in the turn of the event loop that reads them.

To hand a batch to another thread and back takes longer than some hundreds of rows; and a batch that is done
within the time that any batch may hold up the event loop need not wait behind longer ones.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from runtime.batch_endpoint import ARROW, NPY, RAW, preferred_reply, start_batch
from runtime.bodies import JSON
from runtime.gate import count_rows
from runtime.problems import Problem
from runtime.worker import Worker

MOST_BYTES = 1 << 17
"""Bytes of a small body: JSON of this length is read in some 150 us."""

ROUTE = "/predict/batch"

_BODY_TYPES = {
    b"application/json": JSON,
    b"application/json; charset=utf-8": JSON,
    b"application/json;charset=utf-8": JSON,
    NPY.encode(): NPY,
    RAW.encode(): RAW,
}
_LONGEST_ACCEPT = 256

_preferred_reply = lru_cache(256)(preferred_reply)


class SmallBatch(NamedTuple):
    """What the head of a small batch says.

    Attributes
    ----------
    kind : str
        Media type of its body.
    answer : str
        Media type of its reply.
    columns : bool
        Whether a reply in JSON comes in columns.
    """

    kind: str
    answer: str
    columns: bool


def small_batch(worker: Worker, headers: Mapping[bytes, bytes], length: int) -> SmallBatch | None:
    """Return what the head of a batch says where it is small and plain; None where the application has to look.

    Parameters
    ----------
    worker : Worker
        Has the model, and with it the time of a row.
    headers : mapping of bytes to bytes
        All headers, none of which is given twice.
    length : int
        Bytes of the body.
    """
    kind, accept = _BODY_TYPES.get(headers.get(b"content-type", b"")), headers.get(b"accept", b"*/*")
    if kind is None or length > MOST_BYTES or len(accept) > _LONGEST_ACCEPT or b"content-encoding" in headers:
        return None
    if not worker.model.predictor.takes_a_moment(count_rows(worker, ROUTE, headers)):
        return None
    try:
        answer, columns = _preferred_reply(accept.decode("latin-1"))
    except Problem:
        return None
    return None if answer == ARROW else SmallBatch(kind, answer, columns)


def answer_small(worker: Worker, batch: SmallBatch, body: bytes) -> bytes:
    """Predict the rows of a whole body, count them and return the reply; raises Problem as `runtime.batches`."""
    model = worker.model
    rows, work = start_batch(model, *batch, fail=False, max_rows=worker.settings.max_batch_rows)
    rows.feed(body)
    rows.close()
    while (pieces := work.conclude()) is None:
        pass
    for label, count in enumerate(work.labels.tolist()):
        worker.metrics.predicted(label, count)
    return b"".join(pieces)
