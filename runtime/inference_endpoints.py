"""The routes of the Open Inference Protocol v2."""

import re
from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runtime.bodies import JSON, media_type, read_body
from runtime.inference_json import decode_request, encode_reply
from runtime.inference_protocol import check_model, describe_model, describe_server
from runtime.inference_service import infer
from runtime.model import Model
from runtime.problems import Problem
from runtime.worker import get_worker

OCTETS = "application/octet-stream"
JSON_LENGTH = "Inference-Header-Content-Length"

_DIGITS = re.compile("[0-9]{1,15}")


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type=JSON)


def _named_model(request: Request) -> Model:
    """Return the served model, where it is the one that the path names; raises Problem."""
    model = get_worker(request).model
    check_model(model.card, request.path_params["model_name"], request.path_params.get("model_version", ""))
    return model


def _check_ready(request: Request) -> None:
    if not get_worker(request).ready:
        raise Problem(503, "draining: the server is about to stop", headers={"Retry-After": "1"})


async def server_metadata(request: Request) -> Response:
    """Describe the server and its extensions."""
    return _json(describe_server())


async def server_live(request: Request) -> Response:
    """Answer while the event loop turns."""
    return _json({"live": True})


async def server_ready(request: Request) -> Response:
    """Answer 200 while this worker serves a verified model, 503 before and after."""
    _check_ready(request)
    return _json({"live": True, "ready": True})


async def model_metadata(request: Request) -> Response:
    """Describe the model's tensors."""
    return _json(describe_model(_named_model(request).card))


async def model_ready(request: Request) -> Response:
    """Answer 200 while this worker serves the model."""
    model = _named_model(request)
    _check_ready(request)
    return _json({"name": model.card.name, "ready": True})


async def model_infer(request: Request) -> Response:
    """Predict the rows of a tensor."""
    worker, model = get_worker(request), _named_model(request)
    media_type(request, (JSON, OCTETS))
    json_length = _json_length(request)
    body = await read_body(request, worker.settings.max_body_bytes)
    decode = partial(decode_request, body, json_length, model.card, worker.settings.max_batch_rows)
    length, content = await infer(worker, model, len(body), decode, encode_reply)
    if length is None:
        return Response(content, media_type=JSON)
    return Response(content, headers={JSON_LENGTH: str(length)}, media_type=OCTETS)


def _json_length(request: Request) -> int | None:
    """Return how many bytes of the body are JSON, None where all are; raises Problem."""
    named = request.headers.get(JSON_LENGTH)
    if named is None:
        return None
    if not _DIGITS.fullmatch(named):
        raise Problem(400, f"expected a number of bytes, got {named}", field=JSON_LENGTH)
    return int(named)


_MODEL = "/v2/models/{model_name}"

INFER = _MODEL + "/infer"
"""The route of inferences by the model that is served."""

ROUTES = [
    Route("/v2", server_metadata),
    Route("/v2/", server_metadata),
    Route("/v2/health/live", server_live),
    Route("/v2/health/ready", server_ready),
    *(
        route
        for model in (_MODEL, _MODEL + "/versions/{model_version}")
        for route in (
            Route(model, model_metadata),
            Route(model + "/ready", model_ready),
            Route(model + "/infer", model_infer, methods=["POST"]),
        )
    ),
]
