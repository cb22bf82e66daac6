"""Errors on the wire: problem details for HTTP APIs, RFC 9457."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from features_fast.errors import TicklineError

MEDIA_TYPE = "application/problem+json"

INFERENCE_PROTOCOL = "/v2"
"""Path below which errors have the form of the Open Inference Protocol."""

_LONGEST = 300  # characters of what came that a refusal quotes


class Problem(TicklineError):  # noqa: N818 - the name of RFC 9457
    """A request that cannot be answered, with all that its client needs to mend it.

    Parameters
    ----------
    status : int
        HTTP status, 400 to 599.
    detail : str
        One sentence: what was expected and what came.
    field : str, optional
        Path of the offending value in the request, such as `features[7]`.
    headers : mapping, optional
        Headers that the status asks for, such as `Allow`.
    whole : bool
        Whether the detail stays as long as it is: it quotes nothing that the client has sent.
    members : object
        Further members of the reply, such as `expected` and `received`.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
        whole: bool = False,
        **members: Any,
    ) -> None:
        field = field and _clip(field)
        detail = detail if whole else _clip(detail)
        super().__init__(f"{field}: {detail}" if field else detail)
        self.status = status
        self.headers = dict(headers or {})
        self.members: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": str(self),
        }
        if field is not None:
            self.members["field"] = field
        self.members.update(members)
        self._response: Response | None = None

    def response(self) -> Response:
        """Return the reply, which is made once."""
        if self._response is None:
            content = msgspec.json.encode(self.members)
            self._response = Response(content, self.status, self.headers, MEDIA_TYPE)
        return self._response

    def error_object(self) -> Response:
        """Return the reply in the form of the Open Inference Protocol, which calls every value at fault a 400."""
        status = 400 if self.status == 422 else self.status
        return Response(
            msgspec.json.encode({"error": str(self)}),
            status_code=status,
            headers=self.headers,
            media_type="application/json",
        )


def _clip(text: str) -> str:
    """Shorten a text that may quote the request, so that no reply grows with what a client sends."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def respond(path: str, problem: Problem) -> Response:
    """Return the reply in the form of the protocol that is spoken at a path."""
    spoken = path == INFERENCE_PROTOCOL or path.startswith(INFERENCE_PROTOCOL + "/")
    return problem.error_object() if spoken else problem.response()


async def answer_problem(request: Request, error: Exception) -> Response:
    """Answer a problem that an endpoint raised; a handler that is no coroutine would cost a thread."""
    # Starlette types its handlers for any exception and calls them for the registered class alone.
    assert isinstance(error, Problem)
    return respond(request.url.path, error)


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """Answer what Starlette's own routing refuses: an unknown route, a wrong method."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))  # Starlette's order is that of a set
    detail = {
        404: f"no route {request.url.path}; see / for all of them",
        405: f"{request.method} is not allowed here; expected {headers.get('Allow', 'another method')}",
    }.get(error.status_code, error.detail)
    return respond(request.url.path, Problem(error.status_code, detail, headers=headers))


async def answer_unexpected(request: Request, error: Exception) -> Response:
    """Answer a defect of ours: the log has the traceback, the client has none of it."""
    return respond(request.url.path, Problem(500, "an unexpected error; the server's log has the details"))
