"""What goes into every operation of one model's API and what comes out of it."""

from collections.abc import Iterable, Mapping
from typing import Any

from runtime.authentication import PAGES, needs_token
from runtime.bars_csv import CSV
from runtime.batch_endpoint import ARROW, NPY, RAW
from runtime.bodies import JSON
from runtime.deadlines import HEADER
from runtime.examples import CSV_BARS, example_bodies, example_reply, example_row
from runtime.examples import TICKER as EXAMPLE_TICKER
from runtime.forecast import TICKER, TICKER_PATTERN
from runtime.inference_endpoints import JSON_LENGTH, OCTETS
from runtime.model import Model
from runtime.problems import MEDIA_TYPE
from runtime.reply_types import refer
from runtime.settings import Settings

Piece = dict[str, Any]
"""A part of an OpenAPI document."""

Operations = dict[tuple[str, str], Piece]
"""Operations by method and path."""

TOKEN, PREDICT_TOKEN = "reload_token", "predict_token"
"""Names of the security schemes: of `/reload`, and of all that predicts or describes the model."""

_REASONS = {
    400: "The request is malformed: the body is empty or no JSON, or a header has no such form.",
    401: "The token is missing or another one.",
    403: "No token is set, and the request comes from elsewhere than loopback.",
    404: "What the path names is not here.",
    406: "None of the media types that are accepted can be written.",
    409: "The state of the server does not allow this now; `detail` says why.",
    413: "More bytes or rows than the server takes.",
    415: "The body has another media type.",
    422: "A value is missing, unknown, of the wrong type, not finite or beyond float32.",
    501: "Symbols need one worker a process.",
    408: "The headers or the body came too slowly; the connection ends.",
    503: "The server is about to stop, or has too much to do.",
    504: f"The milliseconds have passed that the request gave in `{HEADER}`.",
}
_HEADERS: Mapping[int, Piece] = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}},
    503: {"Retry-After": {"required": True, "schema": {"type": "string", "pattern": "^[0-9]+$"}}},
}
PAGE: Piece = {"text/html": {"schema": {"type": "string"}}}
"""A page for a browser as content."""

_BODY_REFUSALS = (400, 413, 415, 422)
_WORK_REFUSALS = (408, 503, 504)
_INFER = "/v2/models/{model_name}", "/v2/models/{model_name}/versions/{model_version}"


def describe_operations(model: Model, settings: Settings) -> Operations:
    """Return the OpenAPI operations of a model, without what their handlers say of themselves."""
    bodies = example_bodies(model)
    operations = {
        **_service_operations(model, settings),
        **_prediction_operations(model, bodies),
        **_symbol_operations(bodies),
        **_inference_operations(model, bodies),
    }
    for (_, path), operation in operations.items():
        if "requestBody" in operation:
            _add_refusals(operation, path, _WORK_REFUSALS)
        if settings.has_predict_tokens and needs_token(path):
            _add_refusals(operation, path, (401,))
            if path in PAGES:
                operation["responses"]["401"]["content"] |= PAGE
            operation["security"] = [{PREDICT_TOKEN: []}]
    return operations


def _service_operations(model: Model, settings: Settings) -> Operations:
    home = _json("Service") | PAGE
    vary = {"Vary": {"required": True, "schema": {"const": "Accept"}}}
    text = {"schema": {"type": "string"}}
    families = {"text/plain": text, "application/openmetrics-text": text}
    # Without a token it is the connection that tells who may reload, which no security scheme can say.
    reload = _operation(
        "service",
        _json("Rollout"),
        (401 if settings.has_reload_tokens else 403, 409, *_BODY_REFUSALS),
        body=_json(
            "ReloadRequest",
            file={},
            bounded={"max_flips": 10, "max_probability_change": 0.25},
            kept={"version": model.card.version},
        ),
    )
    reload["requestBody"]["required"] = False
    reload["security"] = [{TOKEN: []}] if settings.has_reload_tokens else []
    return {
        ("GET", "/"): _operation("service", home, headers=vary),
        ("GET", "/docs"): _operation("service", PAGE),
        ("GET", "/health"): _operation("service", _json("Ready"), (503,)),
        ("GET", "/health/live"): _operation("service", _json("Live")),
        ("GET", "/health/ready"): _operation("service", _json("Ready"), (503,)),
        ("GET", "/model/info"): _operation("service", _json("ModelInfo")),
        ("GET", "/metrics"): _operation("service", families),
        ("GET", "/openapi.json"): _operation("service", {JSON: {"schema": {"type": "object"}}}),
        ("POST", "/reload"): reload,
    }


def _prediction_operations(model: Model, bodies: Operations) -> Operations:
    tag = "predictions"
    row, names = example_row(model), model.card.feature_names
    by_name = {"features": dict(zip(names, row, strict=True))}
    rows, listed = bodies["POST", "/predict/batch"], bodies["POST", "/predict"]
    columns = {"columns": {name: [value, value] for name, value in by_name["features"].items()}}
    bars = bodies["POST", "/predict/bars"]
    named_bars = dict(zip(("open", "high", "low", "close", "volume"), zip(*bars["bars"], strict=True), strict=True))
    tickers = {"tickers": {EXAMPLE_TICKER: bars["bars"]}}
    prediction = {JSON: {"schema": refer("Prediction"), "example": example_reply(model)}}
    width = len(names)
    batch_bodies = {
        JSON: {
            "schema": {"anyOf": [refer("RowsBody"), refer("ColumnsBody")]},
            "examples": _examples(rows=rows, columns=columns),
        },
        NPY: _binary(f"A matrix (rows, {width}) of float32 or float64 in NumPy's format."),
        RAW: _binary(f"Rows of {width} float32, little-endian, {4 * width} bytes a row."),
        ARROW: _binary("An Arrow IPC stream with one column of numbers a feature."),
    }
    batch_replies = {
        JSON: {"schema": {"anyOf": [refer("BatchRows"), refer("BatchColumns")]}},
        NPY: _binary("The probabilities as a matrix (rows, classes) of float32 in NumPy's format."),
        ARROW: _binary("An Arrow IPC stream with the columns of a prediction and `error`."),
    }
    of_bars = {"schema": {"anyOf": [refer(name) for name in ("BarPrediction", "BarPredictions", "TickerPredictions")]}}
    return {
        ("POST", "/predict"): _operation(
            tag,
            prediction,
            _BODY_REFUSALS,
            body=_json("RowBody", list=listed, names=by_name),
        ),
        ("GET", "/predict/demo"): _operation(tag, prediction),
        ("POST", "/predict/batch"): _operation(
            tag,
            batch_replies,
            (*_BODY_REFUSALS, 406),
            body=batch_bodies,
            parameters=(
                _choice(
                    "layout", ("rows", "columns"), "Whether a JSON reply has one object a row or one list a member."
                ),
                _choice(
                    "on_error", ("entry", "fail"), "Whether a bad row has an error in its place or fails the batch."
                ),
            ),
        ),
        ("POST", "/predict/bars"): _operation(
            tag,
            {JSON: of_bars},
            (*_BODY_REFUSALS, 409),
            body=_json("BarsBody", rows=bars, columns={"bars": named_bars}, tickers=tickers)
            | {
                CSV: {
                    **_binary("A CSV file of bars in UTF-8, as `tickline predict` takes it."),
                    "examples": _examples(file=CSV_BARS),
                }
            },
            parameters=(_choice("all", ("false", "true"), "Whether every bar is predicted or the newest alone."),),
        ),
    }


def _symbol_operations(bodies: Operations) -> Operations:
    tag, state, bars = "symbols", "/symbols/{ticker}", "/symbols/{ticker}/bars"
    ticker = (_path("ticker", {"type": "string", "pattern": TICKER_PATTERN}, EXAMPLE_TICKER, TICKER.capitalize()),)
    answer = {JSON: {"schema": {"anyOf": [refer("SymbolPrediction"), refer("SymbolWarmUp")]}}}
    put = _operation(
        tag,
        answer,
        (*_BODY_REFUSALS, 409, 501),
        body=_json("HistoryBody", bars=bodies["PUT", bars]),
        parameters=ticker,
    )
    put["responses"]["201"] = {"description": "The symbol is new.", "content": answer}
    post = _operation(
        tag,
        answer,
        (*_BODY_REFUSALS, 404, 409, 501),
        body=_json("BarBody", bar=bodies["POST", bars]),
        parameters=ticker,
    )
    held = (404, 409, 422, 501)
    delete = _operation(tag, {}, held, parameters=ticker)
    del delete["responses"]["200"]
    delete["responses"]["204"] = {"description": "The symbol is forgotten."}
    return {
        ("PUT", bars): put,
        ("POST", bars): post,
        ("GET", state): _operation(tag, _json("SymbolState"), held, parameters=ticker),
        ("DELETE", state): delete,
    }


def _inference_operations(model: Model, bodies: Operations) -> Operations:
    """Return the Open Inference Protocol, whose errors have a form of their own and call every bad value a 400."""
    tag, card = "Open Inference Protocol", model.card
    path_parameters = (
        _path("model_name", {"const": card.name}, card.name, "The only model here."),
        _path("model_version", {"const": card.version}, card.version, "The served version."),
    )
    length: Piece = {"type": "string", "pattern": "^[0-9]{1,15}$"}
    operations = {
        ("GET", "/v2"): _operation(tag, _json("ServerMetadata")),
        ("GET", "/v2/"): _operation(tag, _json("ServerMetadata")),
        ("GET", "/v2/health/live"): _operation(tag, _json("ServerLive")),
        ("GET", "/v2/health/ready"): _operation(tag, _json("ServerReady"), (503,), inference=True),
    }
    for count, path in enumerate(_INFER, 1):
        named = path_parameters[:count]
        operations["GET", path] = _operation(tag, _json("ModelMetadata"), (404,), parameters=named, inference=True)
        operations["GET", path + "/ready"] = _operation(
            tag, _json("ModelReady"), (404, 503), parameters=named, inference=True
        )
        binary = "The JSON, its length in a header, and behind it tensors as bytes, little-endian and row-major."
        operations["POST", path + "/infer"] = _operation(
            tag,
            _json("InferenceReply") | {OCTETS: _binary(binary)},
            (400, 404, 413, 415),
            body=_json("InferenceRequest", tensor=bodies["POST", path + "/infer"]) | {OCTETS: _binary(binary)},
            parameters=(
                *named,
                {
                    "name": JSON_LENGTH,
                    "in": "header",
                    "description": "How many bytes of the body are JSON, where binary data follow it.",
                    "schema": length,
                },
            ),
            headers={JSON_LENGTH: {"description": "Bytes of the JSON, where binary data follow it.", "schema": length}},
            inference=True,
        )
    return operations


def _operation(
    tag: str,
    content: Piece,
    refusals: Iterable[int] = (),
    *,
    body: Piece | None = None,
    parameters: Iterable[Piece] = (),
    headers: Piece | None = None,
    inference: bool = False,
) -> Piece:
    """Return an operation by its tag, the content of its reply, and the statuses with which it refuses requests."""
    reply: Piece = {"description": "The reply.", "content": content}
    if headers:
        reply["headers"] = headers
    operation: Piece = {"tags": [tag], "responses": {"200": reply}}
    _add_refusals(operation, "/v2" if inference else "", refusals)
    if body:
        operation["requestBody"] = {"required": True, "content": body}
    if parameters:
        operation["parameters"] = list(parameters)
    return operation


def _add_refusals(operation: Piece, path: str, refusals: Iterable[int]) -> None:
    """Add the statuses with which the operation of a path refuses requests; the connection itself refuses by a 408."""
    problem = {MEDIA_TYPE: {"schema": refer("Problem")}}
    error = _json("InferenceError") if path.startswith("/v2") else problem
    for status in sorted(refusals):
        response = {"description": _REASONS[status], "content": problem if status == 408 else error}
        if status in _HEADERS:
            response["headers"] = _HEADERS[status]
        operation["responses"][str(status)] = response


def _json(schema: str, /, **examples: Any) -> Piece:
    """Return JSON of a schema of the components as content."""
    media: Piece = {"schema": refer(schema)}
    if examples:
        media["examples"] = _examples(**examples)
    return {JSON: media}


def _examples(**values: Any) -> Piece:
    return {name: {"value": value} for name, value in values.items()}


def _binary(description: str) -> Piece:
    """Return bytes as a media type: no schema says more of them than words."""
    return {"schema": {"description": description}}


def _choice(name: str, allowed: tuple[str, ...], description: str) -> Piece:
    """Return a query parameter, whose default is the first of what is allowed."""
    schema = {"type": "string", "enum": list(allowed), "default": allowed[0]}
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _path(name: str, schema: Piece, example: str, description: str) -> Piece:
    """Return a parameter of the path."""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": schema,
        "example": example,
    }
