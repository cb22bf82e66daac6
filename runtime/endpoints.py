"""Thin handlers: from a request to the worker and back."""

from functools import partial
from ipaddress import ip_address
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from features_fast.errors import TicklineError
from features_fast.specification import FEATURES, specification_hash
from runtime.address import client_address, fill_in
from runtime.authentication import Tokens
from runtime.batch_endpoint import batch
from runtime.bodies import JSON, media_type, read_body
from runtime.offer import offer_bars
from runtime.page import answer_page, wants_page
from runtime.problems import Problem
from runtime.reload_request import decode_reload
from runtime.rollout import RolloutError, UnfinishedError
from runtime.site import Site, find_site, make_site
from runtime.stages import STARTED, Stopwatch
from runtime.worker import get_worker


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


def _reply(content: bytes) -> Response:
    return Response(content, media_type="application/json")


async def _site(request: Request) -> Site:
    """Return what tells of the served model; it is made off the event loop, and for those alone who ask for it."""
    worker = get_worker(request)
    model = worker.model
    found = find_site(model)
    if found is None:
        make = partial(make_site, model, worker.settings, worker.self_check, request.app.routes)
        found = await worker.run_batch(make)
    return found


async def home(request: Request) -> Response:
    """Say what this is: a page for a browser, JSON for a program."""
    site = await _site(request)
    if wants_page(request):
        return answer_page(request, site.home)
    response = _reply(fill_in(site.service, client_address(request)))
    response.headers["Vary"] = "Accept"
    return response


async def docs(request: Request) -> Response:
    """Describe this API as a page."""
    return answer_page(request, (await _site(request)).reference)


async def live(request: Request) -> Response:
    """Answer while the event loop turns."""
    return _json({"status": "live"})


async def ready(request: Request) -> Response:
    """Answer 200 while this worker serves a verified model, 503 before and after."""
    worker = get_worker(request)
    if not worker.ready:
        raise Problem(503, "draining: the server is about to stop", headers={"Retry-After": "1"})
    card = worker.model.card
    return _json({"status": "ready", "model_name": card.name, "model_version": card.version})


async def model_info(request: Request) -> Response:
    """Describe the served model, its certificate and its features."""
    worker = get_worker(request)
    model = worker.model
    card = model.card
    ours = card.feature_specification == specification_hash()
    features: Any = FEATURES if ours else [{"name": name} for name in card.feature_names]
    bars = offer_bars(card.feature_specification)
    kept = worker.kept_versions()
    more = {"features": features, "bars": bars, "kept_versions": kept, "self_check": worker.self_check}
    return _json({**model.predictor.describe(), **more})


async def predict(request: Request) -> Response:
    """Predict one row."""
    worker = get_worker(request)
    media_type(request, (JSON,))
    body = await read_body(request, worker.settings.max_body_bytes)
    watch = Stopwatch(request.scope[STARTED])
    label, reply = worker.model.answer_row(body, watch.lap)
    worker.metrics.predicted(label)
    worker.metrics.timed(watch.durations)
    return watch.stamp(request, _reply(reply))


async def demo(request: Request) -> Response:
    """Predict the example that the model file brings."""
    worker = get_worker(request)
    label, reply = worker.model.answer_example()
    worker.metrics.predicted(label)
    return _reply(reply)


async def reload(request: Request) -> Response:
    """Serve the model file as it is now, a version that is kept or the one before, in all workers or in none.

    Every worker loads it, verifies its certificate and compares it with the served model before any of them swaps.
    """
    worker = get_worker(request)
    worker.renew_tokens()
    _authorize(request, worker.reload_tokens)
    body = await read_body(request, worker.settings.max_body_bytes)
    if body:
        media_type(request, (JSON,))
    wish = decode_reload(body)
    try:
        return _json(await worker.reload(wish))
    except UnfinishedError as error:
        raise Problem(503, str(error), headers={"Retry-After": "1"}) from None
    except TicklineError as error:
        members = error.members if isinstance(error, RolloutError) else {}
        raise Problem(409, f"the served model stays: {error}", whole=True, **members) from None


def _authorize(request: Request, tokens: Tokens) -> None:
    """Let in who has a token; without any, who calls over loopback itself and not through a proxy."""
    if tokens:
        given = request.headers.get("authorization", "").encode("latin-1")
        if not tokens.admit(given):
            challenge = {"WWW-Authenticate": "Bearer"}
            raise Problem(401, "expected the reload token as a bearer token", field="Authorization", headers=challenge)
        return
    forwarded = any(name in request.headers for name in ("forwarded", "x-forwarded-for"))
    if forwarded or request.client is None or not ip_address(request.client.host).is_loopback:
        raise Problem(403, "without RELOAD_TOKEN, /reload answers loopback only")


async def metrics(request: Request) -> Response:
    """Render the metrics of all workers."""
    content, format = get_worker(request).render_metrics(request.headers.get("accept", ""))
    return Response(content, headers={"Content-Type": format})


async def openapi(request: Request) -> Response:
    """Describe this API as OpenAPI 3.1."""
    return _reply((await _site(request)).openapi)


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
    Route("/docs", docs),
    Route("/openapi.json", openapi),
]
