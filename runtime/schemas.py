"""The schemas of one model's API: from the types that decode and those of the replies."""

import inspect
import re
from typing import Any

import msgspec

from features_fast import WARM_UP
from runtime.bars import BarBody, Bars, BarsBody, HistoryBody
from runtime.forecast import TICKER_PATTERN
from runtime.inference_json import InferenceReply, InferenceRequest
from runtime.inference_protocol import ModelMetadata, ServerMetadata
from runtime.model import Model
from runtime.reload_request import ReloadRequest
from runtime.reply_types import (
    REFERENCE,
    InferenceError,
    Live,
    ModelInfo,
    ModelReady,
    Problem,
    Ready,
    ServerLive,
    ServerReady,
    Service,
    SymbolState,
    prediction_types,
)
from runtime.rollout import Rollout

_ATTRIBUTES = "\n\nAttributes\n----------\n"
_ATTRIBUTE = re.compile(r"^(\w[\w, ]*) : .*\n((?: +.*\n)+)", re.MULTILINE)

_STATIC = (
    *(BarsBody, HistoryBody, BarBody, InferenceRequest, InferenceReply, ServerMetadata, ModelMetadata),
    *(InferenceError, Live, ModelInfo, ModelReady, Problem, Ready, ReloadRequest, Rollout),
    *(ServerLive, ServerReady, Service, SymbolState),
)


def build_schemas(model: Model, max_rows: int) -> dict[str, Any]:
    """Return the JSON Schemas of all bodies and replies by name.

    Parameters
    ----------
    model : Model
        Gives the features, the labels and how many there are of each.
    max_rows : int
        Most rows of a batch, and most bars of a request.
    """
    types = (*_STATIC, *prediction_types(model.card), model.decoder.body_type, Bars, model.decoder.row_type)
    found, schemas = msgspec.json.schema_components(types, ref_template=REFERENCE)
    for schema in schemas.values():
        _tell_members(schema)
    *_, bars, row = found
    width = len(model.card.feature_names)
    _restrict_bars(schemas, bars, max_rows)
    _restrict_tensor(schemas["RequestInput"], width, max_rows)
    schemas["RowsBody"] = _object(
        "Rows, each of one form or the other.", features={"type": "array", "items": row} | _count(1, max_rows)
    )
    numbers = {"type": "array", "items": row["anyOf"][0]["items"]} | _count(1, max_rows)
    columns = _object(
        "All features, each a list with one number a row.", **dict.fromkeys(model.card.feature_names, numbers)
    )
    schemas["ColumnsBody"] = _object("Rows as columns of one length.", columns=columns)
    return schemas


def _tell_members(schema: dict[str, Any]) -> None:
    """Let each member have the description that its type's docstring gives under `Attributes`."""
    summary, _, attributes = inspect.cleandoc(schema.get("description", "")).partition(_ATTRIBUTES)
    if not attributes:
        return
    schema["description"] = summary
    for names, description in _ATTRIBUTE.findall(attributes + "\n"):
        for name in names.split(", "):
            schema["properties"][name].setdefault("description", " ".join(description.split()))


def _object(description: str, /, **properties: Any) -> dict[str, Any]:
    """Return the schema of an object of exactly these members."""
    return {
        "description": description,
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _count(least: int, most: int) -> dict[str, int]:
    return {"minItems": least, "maxItems": most}


def _restrict_bars(schemas: dict[str, Any], bars: dict[str, Any], max_bars: int) -> None:
    """Say of bars what their decoder leaves to the code behind it."""
    enough = {"anyOf": [form | _count(WARM_UP + 1, max_bars) if "items" in form else form for form in bars["anyOf"]]}
    body = schemas["BarsBody"]
    body["oneOf"] = [{"required": [name]} for name in body["properties"]]
    body["properties"]["bars"] = enough
    body["properties"]["tickers"] = {
        "type": "object",
        "propertyNames": {"pattern": TICKER_PATTERN},
        "additionalProperties": enough,
        "minProperties": 1,
    }


def _restrict_tensor(tensor: dict[str, Any], width: int, max_rows: int) -> None:
    """Say of the input tensor what depends on the model."""
    shape = tensor["properties"]["shape"]
    shape["prefixItems"] = [{"type": "integer", "minimum": 1, "maximum": max_rows}, {"const": width}]
    tensor["properties"]["data"]["description"] = f"Rows of {width} numbers, flat or with one list a row."
