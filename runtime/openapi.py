"""The API of a served model as an OpenAPI 3.1 document. Knows routes, and no server."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from starlette.routing import BaseRoute
from starlette.schemas import BaseSchemaGenerator

from runtime.model import Model
from runtime.operations import PREDICT_TOKEN, TOKEN, Operations, describe_operations
from runtime.schemas import build_schemas
from runtime.settings import Settings

OPENAPI = "3.1.0"

_DESCRIPTION = """Market bars in, an UP/DOWN probability out, in microseconds.

Every route that answers GET answers HEAD too, without a body. Another method is a 405, another path a 404,
and a 307 where a slash at its end, or none, is all that is wrong."""
_TAGS = {
    "predictions": "Rows of features, or bars, in; probabilities out.",
    "symbols": "Symbols whose bars arrive one by one.",
    "service": "The server, its model and its metrics.",
    "Open Inference Protocol": "Version 2 of the protocol that other inference servers speak too.",
}

Operation = tuple[str, str, dict[str, Any]]
"""Method, path and what a document says of the two."""

_METHODS = ("put", "post", "get", "delete")
"""In the order in which a reader tries them: what is held, then what is asked of it, then how it goes."""

_GENERATOR = BaseSchemaGenerator()


def describe_api(model: Model, settings: Settings, routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """Return the OpenAPI document of a model.

    Parameters
    ----------
    model : Model
        Gives features, labels, counts and the example that works.
    settings : Settings
        Gives the limits, and whether there is a token for `/reload`.
    routes : sequence of BaseRoute
        All that is served; of each, the handler's docstring is its summary and description.

    Raises
    ------
    KeyError
        Where a route has no description.
    """
    components: dict[str, Any] = {"schemas": build_schemas(model, settings.max_batch_rows)}
    tokens = {
        TOKEN: ("RELOAD_TOKEN", settings.has_reload_tokens),
        PREDICT_TOKEN: ("PREDICT_TOKENS", settings.has_predict_tokens),
    }
    schemes = {
        name: {"type": "http", "scheme": "bearer", "description": f"A token of {variable}, or of its file."}
        for name, (variable, needed) in tokens.items()
        if needed
    }
    if schemes:
        components["securitySchemes"] = schemes
    return {
        "openapi": OPENAPI,
        "info": {"title": "Tickline", "version": version("tickline"), "description": _DESCRIPTION},
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": _paths(describe_operations(model, settings), routes),
        "components": components,
    }


def grouped(document: Mapping[str, Any]) -> list[tuple[dict[str, str], list[Operation]]]:
    """Return the operations of a document by tag, in the order in which a reader tries them."""
    groups: dict[str, list[Operation]] = {tag["name"]: [] for tag in document["tags"]}
    for path, item in document["paths"].items():
        for method in sorted(item, key=_METHODS.index):
            groups[item[method]["tags"][0]].append((method.upper(), path, item[method]))
    return [(tag, groups[tag["name"]]) for tag in document["tags"]]


def anchor(name: str) -> str:
    """Return a name as the identity of a place in a page."""
    return re.sub("[^a-z0-9]+", "-", name.lower())


def _paths(operations: Operations, routes: Sequence[BaseRoute]) -> dict[str, dict[str, Any]]:
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in _GENERATOR.get_endpoints(list(routes)):
        operation = operations[endpoint.http_method.upper(), endpoint.path]
        words = "".join(letter if letter.isalnum() else " " for letter in endpoint.path).split()
        identity = "_".join((endpoint.http_method, *words)) + ("_" if endpoint.path.endswith("/") else "")
        paths.setdefault(endpoint.path, {})[endpoint.http_method] = {
            "operationId": identity,
            **_documentation(endpoint.func),
            **operation,
        }
    return paths


def _documentation(handler: Callable[..., Any]) -> dict[str, str]:
    """Return what a handler says of itself."""
    summary, _, more = inspect.cleandoc(handler.__doc__ or "").partition("\n\n")
    return {"summary": summary.removesuffix("."), **({"description": more} if more else {})}
