"""Reading a request's body: only of a type that the route takes, and never beyond the limit."""

from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from runtime.deadlines import await_in_time, check_deadline
from runtime.problems import Problem

JSON = "application/json"

LEFT = "tickline.left"
"""Member of the scope of a request whose client sends no more: it may have left, or waits for its answer alone."""


def media_type(request: Request, accepted: tuple[str, ...], default: str = JSON) -> str:
    """Return the media type of a plain body without its parameters, `default` where none is named; raises Problem.

    A compressed body is refused: it could be a thousand times as large as the limit on what is read.
    """
    encoding = ", ".join(request.headers.getlist("content-encoding"))
    if encoding and any(coding.strip() != "identity" for coding in encoding.lower().split(",")):
        raise Problem(415, f"expected none, got {encoding}", field="Content-Encoding")
    named = request.headers.get("content-type")
    if named is None:
        return default
    plain = named.partition(";")[0].strip().lower()
    if plain not in accepted:
        raise Problem(415, f"expected {' or '.join(accepted)}, got {named}", field="Content-Type")
    return plain


async def read_body(request: Request, limit: int) -> bytes:
    """Read a whole body, and stop at the limit instead of after it; raises Problem."""
    body = bytearray()
    async for chunk in stream_body(request, limit):
        body += chunk
    return bytes(body)


async def stream_body(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Yield a body as it arrives, up to the limit; raises Problem."""
    declared = request.headers.get("content-length", "0")
    if int(declared) > limit:
        raise _too_large(limit, declared)
    received, chunks = 0, aiter(request.stream())
    try:
        while (chunk := await await_in_time(anext(chunks, None))) is not None:
            received += len(chunk)
            if received > limit:
                raise _too_large(limit, f"at least {received}")
            yield chunk
            check_deadline()
    except ClientDisconnect:
        raise Problem(400, "the client left before the end of the body") from None


async def may_have_left(request: Request) -> bool:
    """Tell whether the client of a request that has been read is gone, or sends no more, as one that is gone."""
    return LEFT in request.scope or await request.is_disconnected()


def _too_large(limit: int, received: str) -> Problem:
    return Problem(413, f"expected at most {limit} bytes, got {received}", field="body", expected=limit)
