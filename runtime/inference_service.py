"""Running inferences in a worker: what is small on its event loop, the rest off it."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from runtime.deadlines import in_time
from runtime.inference_protocol import Answer, Inference
from runtime.model import Model
from runtime.worker import Worker

SMALL_BYTES = 16 * 2**10
"""Size up to which a request is decoded on the event loop, in less time than a thread takes to wake."""

_Reply = TypeVar("_Reply")


async def infer(
    worker: Worker,
    model: Model,
    size: int,
    decode: Callable[[], Inference],
    encode: Callable[[Inference, Answer], _Reply],
) -> _Reply:
    """Answer one inference request and count its predictions.

    Parameters
    ----------
    worker : Worker
        The worker that the request came to.
    model : Model
        The model that answers.
    size : int
        Bytes of the request.
    decode : callable
        Decodes the request; raises Problem.
    encode : callable
        Makes the reply of the decoded request and the model's answer to it.

    Raises
    ------
    Problem
        Where the request cannot be answered.
    """
    inference = decode() if size <= SMALL_BYTES else await worker.run_batch(decode)
    work = partial(answer_inference, model, inference, encode)
    counts, reply = in_time(work)() if len(inference.rows) == 1 else await worker.run_batch(work)
    worker.count(counts)
    return reply


def answer_inference(
    model: Model, inference: Inference, encode: Callable[[Inference, Answer], _Reply]
) -> tuple[list[int], _Reply]:
    """Return the number of rows of each class, and the reply; raises Problem."""
    answer = Answer(model.predictor, inference.rows)
    return answer.counts(), encode(inference, answer)
