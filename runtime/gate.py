"""What a request has to pass before its route: the right port, a token, a deadline, room in the worker."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.authentication import OPEN, PAGES, needs_token, sole_authorization
from runtime.bodies import JSON
from runtime.deadlines import HEADER, set_deadline
from runtime.page import answer_door, wants_page
from runtime.problems import Problem, respond
from runtime.stages import STARTED
from runtime.worker import Worker

_PROBES = frozenset({"/health", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"})
_DEADLINE = HEADER.lower().encode()
_BAR_VALUES = 5  # numbers of a bar
_JSON_BYTES, _BINARY_BYTES = 8, 4  # bytes of a value in a body, about


class Gate:
    """Pure ASGI middleware: refuses a request by a problem, or lets it through and keeps count of it.

    Parameters
    ----------
    app : ASGIApp
        The routes. Problems that they raise they answer themselves.
    worker : Worker
        Has the settings, the tokens and the count of what is under way.
    """

    def __init__(self, app: ASGIApp, worker: Worker) -> None:
        self._app = app
        self._worker = worker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        headers = dict(scope["headers"])
        try:
            self._check(scope, headers)
            with self._room(scope, headers):
                await self._app(scope, receive, send)
        except Problem as problem:
            await _refuse(Request(scope), problem)(scope, receive, send)

    def _check(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        """Raise Problem where the request may not be made here, or by this client."""
        worker, path = self._worker, scope["path"]
        metrics_port = worker.settings.metrics_port
        if metrics_port and path not in _PROBES:
            here = scope["server"] is not None and scope["server"][1] == metrics_port
            if here != (path == "/metrics"):
                raise Problem(404, f"no route {path} on this port")
        authorization = sole_authorization([value for name, value in scope["headers"] if name == b"authorization"])
        if needs_token(path) and not worker.predict_tokens.admit(authorization):
            raise Problem(401, "expected a bearer token", field="Authorization", headers={"WWW-Authenticate": "Bearer"})
        if _DEADLINE in headers:
            set_deadline(headers[_DEADLINE], scope[STARTED])

    def _room(self, scope: Scope, headers: Mapping[bytes, bytes]) -> AbstractContextManager[None]:
        """Return what holds the room for a request; probes, scrapes and reloads need none."""
        path = scope["path"]
        if path in OPEN:
            return nullcontext()
        if scope["method"] not in ("POST", "PUT") or path == "/predict":
            return self._worker.admission.single()
        return self._worker.admission.bulk(count_rows(self._worker, path, headers))


def count_rows(worker: Worker, path: str, headers: Mapping[bytes, bytes]) -> int:
    """Return how many rows a body may have, which only its length tells before it is read."""
    most = worker.settings.max_batch_rows
    if b"content-length" not in headers:
        return most
    values = _BAR_VALUES if path.endswith("/bars") else len(worker.model.card.feature_names)
    plain = headers.get(b"content-type", JSON.encode()).startswith(JSON.encode())
    size = values * (_JSON_BYTES if plain else _BINARY_BYTES)
    return min(most, max(1, int(headers[b"content-length"]) // size))


def _refuse(request: Request, problem: Problem) -> Response:
    """Answer a problem, or ask a browser for the token that its page needs."""
    path = request.scope["path"]
    if problem.status == 401 and path in PAGES and wants_page(request):
        return answer_door(request)
    return respond(path, problem)
