"""Thin handlers: from a request to the worker and back."""

import hmac
from ipaddress import ip_address
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from features_fast.errors import TicklineError
from features_fast.specification import FEATURES, specification_hash
from runtime.home import describe_service, render_home
from runtime.problems import Problem
from runtime.worker import Worker


def _worker(request: Request) -> Worker:
    worker: Worker = request.app.state.worker
    return worker


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


def _reply(content: bytes) -> Response:
    return Response(content, media_type="application/json")


async def _json_body(request: Request) -> bytes:
    """Read a JSON body within the limit; raises Problem."""
    content_type = request.headers.get("content-type")
    if content_type is not None and content_type.partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, f"expected application/json, got {content_type}", field="Content-Type")
    return await _body(request)


async def _body(request: Request) -> bytes:
    """Read a body, and stop at the limit instead of after it; raises Problem."""
    limit = _worker(request).settings.max_body_bytes
    declared = request.headers.get("content-length", "0")
    if int(declared) > limit:
        raise _too_large(limit, declared)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise _too_large(limit, f"at least {len(body)}")
    except ClientDisconnect:
        raise Problem(400, "the client left before the end of the body") from None
    return bytes(body)


def _too_large(limit: int, received: str) -> Problem:
    return Problem(413, f"expected at most {limit} bytes, got {received}", field="body", expected=limit)


async def home(request: Request) -> Response:
    """Say what this is: a page for a browser, JSON for a program."""
    worker = _worker(request)
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(render_home(worker.model), headers={"Vary": "Accept"})
    response = _json(describe_service(worker.model))
    response.headers["Vary"] = "Accept"
    return response


async def live(request: Request) -> Response:
    """Answer while the event loop turns."""
    return _json({"status": "live"})


async def ready(request: Request) -> Response:
    """Answer 200 while this worker serves a verified model, 503 before and after."""
    worker = _worker(request)
    if not worker.ready:
        raise Problem(503, "draining: the server is about to stop", headers={"Retry-After": "1"})
    card = worker.model.card
    return _json({"status": "ready", "model_name": card.name, "model_version": card.version})


async def model_info(request: Request) -> Response:
    """Describe the served model, its certificate and its features."""
    model = _worker(request).model
    card = model.card
    ours = card.feature_specification == specification_hash()
    features: Any = FEATURES if ours else [{"name": name} for name in card.feature_names]
    return _json({**model.predictor.describe(), "features": features})


async def predict(request: Request) -> Response:
    """Predict one row."""
    worker = _worker(request)
    body = await _json_body(request)
    label, reply = worker.model.answer_row(body)
    worker.metrics.predicted(label)
    return _reply(reply)


async def demo(request: Request) -> Response:
    """Predict the example that the model file brings."""
    worker = _worker(request)
    label, reply = worker.model.answer_example()
    worker.metrics.predicted(label)
    return _reply(reply)


async def batch(request: Request) -> Response:
    """Predict many rows."""
    body = await _json_body(request)
    return _reply(await _worker(request).answer_batch(body))


async def reload(request: Request) -> Response:
    """Serve the model file as it is now, in all workers or in none."""
    worker = _worker(request)
    _authorize(request, worker.settings.reload_token)
    try:
        return _json(await worker.reload())
    except TicklineError as error:
        raise Problem(409, f"{error}; the model that was served before serves on") from None


def _authorize(request: Request, token: str) -> None:
    """Let in who has the token; without one, who calls over loopback itself and not through a proxy."""
    if token:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            challenge = {"WWW-Authenticate": "Bearer"}
            raise Problem(401, "expected the reload token as a bearer token", field="Authorization", headers=challenge)
        return
    forwarded = any(name in request.headers for name in ("forwarded", "x-forwarded-for"))
    if forwarded or request.client is None or not ip_address(request.client.host).is_loopback:
        raise Problem(403, "without RELOAD_TOKEN, /reload answers loopback only")


async def metrics(request: Request) -> Response:
    """Render the metrics of all workers."""
    content, media_type = _worker(request).render_metrics(request.headers.get("accept", ""))
    return Response(content, headers={"Content-Type": media_type})


ROUTES = [
    Route("/", home),
    Route("/health", ready),
    Route("/health/live", live),
    Route("/health/ready", ready),
    Route("/model/info", model_info),
    Route("/predict", predict, methods=["POST"]),
    Route("/predict/demo", demo),
    Route("/predict/batch", batch, methods=["POST"]),
    Route("/reload", reload, methods=["POST"]),
    Route("/metrics", metrics),
]
