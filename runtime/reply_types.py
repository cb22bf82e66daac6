"""The replies as types: what templates and handlers write, for JSON Schema."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from runtime.artifact import Comparison, EngineFinding, ModelCard
from runtime.comparison import ModelComparison
from runtime.offer import BarsOffer
from runtime.replay import Agreement
from runtime.selfcheck import SelfCheck
from runtime.versions import KeptVersion

REFERENCE = "#/components/schemas/{name}"


def refer(name: str) -> dict[str, str]:
    """Return the reference to a schema of the document's components."""
    return {"$ref": REFERENCE.format(name=name)}


def either(*names: str) -> Any:
    """Return the type of a value that is one of several objects, which msgspec's unions cannot say."""
    return Annotated[Any, msgspec.Meta(extra_json_schema={"anyOf": [refer(name) for name in names]})]


class Problem(msgspec.Struct):
    """Why a request was not answered: problem details of RFC 9457. Some problems have further members."""

    type: str
    title: str
    status: int
    detail: Annotated[str, msgspec.Meta(description="What was expected and what came.")]
    field: Annotated[str, msgspec.Meta(description="Path of the offending value.")] | msgspec.UnsetType = msgspec.UNSET
    expected: Any = msgspec.UNSET
    received: Any = msgspec.UNSET
    missing_bars: int | msgspec.UnsetType = msgspec.UNSET
    errors: dict[str, either("Problem")] | msgspec.UnsetType = msgspec.UNSET  # type: ignore[valid-type]
    comparison: ModelComparison | msgspec.UnsetType = msgspec.UNSET


class InferenceError(msgspec.Struct):
    """Why a request was not answered, in the form of the Open Inference Protocol."""

    error: str


class Live(msgspec.Struct):
    """The event loop turns."""

    status: Literal["live"]


class Ready(msgspec.Struct):
    """A verified model is served."""

    status: Literal["ready"]
    model_name: str
    model_version: str


class RouteNote(msgspec.Struct):
    """One route and a command that calls it."""

    method: str
    path: str
    what: str
    example: str


class ServedModel(msgspec.Struct):
    """What the home page says of the model."""

    name: str
    version: str
    labels: list[str]
    features: list[str]


class Service(msgspec.Struct):
    """What this server is."""

    service: str
    description: str
    model: ServedModel
    routes: list[RouteNote]


class FeatureNote(msgspec.Struct):
    """A feature; its definition where it is one of Tickline's own."""

    name: str
    formula: str | msgspec.UnsetType = msgspec.UNSET
    lookback: int | msgspec.UnsetType = msgspec.UNSET
    convention: str | msgspec.UnsetType = msgspec.UNSET
    talib: str | msgspec.UnsetType = msgspec.UNSET


class CertificateNote(msgspec.Struct):
    """How far graph and fitted model were apart at export, by each engine, and what the replay found here."""

    reference: str
    tolerance: float
    compared_rows: int
    max_probability_difference: float
    label_flips: int
    engines: list[EngineFinding]
    replay: Comparison


class EngineNote(msgspec.Struct):
    """What runs the model, why it is this engine, and what was compared where it is not onnxruntime."""

    name: str
    version: str
    reason: str
    detail: str
    same_bits_in_any_company: bool
    chunk_rows: int
    chunk_seconds: float
    memory_bytes: int | None
    agreement: Agreement | None
    reference_checks: Comparison | None


class ModelInfo(msgspec.Struct):
    """The served model."""

    name: str
    version: str
    created: str
    sha256: str
    size_bytes: int
    feature_names: list[str]
    labels: list[str]
    feature_specification: str | None
    training: dict[str, Any]
    libraries: dict[str, str]
    certificate: CertificateNote
    engine: EngineNote
    load_seconds: float
    features: list[FeatureNote]
    bars: BarsOffer
    kept_versions: list[KeptVersion]
    self_check: SelfCheck


class RowError(msgspec.Struct):
    """What is wrong with a row."""

    field: str
    detail: str


class FailedRow(msgspec.Struct):
    """A row of a batch that cannot be predicted, in the place of its prediction."""

    error: RowError


class BadRow(msgspec.Struct):
    """A row of a batch that cannot be predicted; it is null in every column."""

    index: int
    error: RowError


class FailedTicker(msgspec.Struct):
    """A ticker that cannot be predicted, in the place of its prediction."""

    error: Problem


class BarMark(msgspec.Struct):
    """The bar that a prediction is for: its place in what was sent, and its date where it has one."""

    index: int
    date: str | msgspec.UnsetType = msgspec.UNSET


class SymbolState(msgspec.Struct):
    """What is held of a symbol; `seed_weight` is how much of each recursive average is still its seed."""

    ticker: str
    bars: int
    missing_bars: int
    last_date: str | None
    seed_weight: dict[str, float]


class ServerLive(msgspec.Struct):
    """The event loop turns."""

    live: bool


class ServerReady(msgspec.Struct):
    """A verified model is served."""

    live: bool
    ready: bool


class ModelReady(msgspec.Struct):
    """The model is served."""

    name: str
    ready: bool


_STAMP: list[tuple[str, Any]] = [("model_version", str), ("timestamp", Annotated[datetime, msgspec.Meta(tz=True)])]


def prediction_types(card: ModelCard) -> list[type[msgspec.Struct]]:
    """Return the types of all replies that hold predictions of a model with these labels."""
    label: Any = Literal[card.labels]
    index: Any = Annotated[int, msgspec.Meta(ge=0, le=len(card.labels) - 1)]
    ticker: Any = either("BarAnswer", "EveryBar", "FailedTicker")
    row: Any = either("Answer", "FailedRow")
    mark = ("bar", BarMark)
    number = {"type": "number"}
    probabilities = _by_label(card, dict[str, float], number)
    columns = _by_label(card, dict[str, list[float | None]], {"type": "array", "items": {"type": ["number", "null"]}})
    answer = _struct(
        "Answer",
        "The most probable class, its label and its probability, and the probability of every class.",
        [
            ("prediction", index),
            ("prediction_label", label),
            ("probability", float),
            ("probabilities", probabilities),
        ],
    )
    bar_answer = _struct("BarAnswer", "The prediction for one bar.", [mark], answer)
    all_bars = [("predictions", list[bar_answer]), ("count", int)]  # type: ignore[valid-type]
    every_bar = _struct("EveryBar", "The predictions for every bar from the first possible one on.", all_bars)
    symbol = ("missing_bars", Annotated[int, msgspec.Meta(ge=0)])
    nothing = [(name, None) for name in ("prediction", "prediction_label", "probability", "probabilities")]
    return [
        _struct("Prediction", "The prediction for one row.", _STAMP, answer),
        _struct("BarPrediction", "The prediction for the newest bar.", _STAMP, bar_answer),
        _struct("BarPredictions", "The predictions for every bar from the first possible one on.", _STAMP, every_bar),
        _struct(
            "TickerPredictions",
            "The prediction, or all of them, or a problem, by ticker.",
            [
                ("tickers", dict[str, ticker]),
                ("count", int),
                ("failed", int),
                *_STAMP,
            ],
        ),
        _struct("SymbolPrediction", "The prediction for the newest bar of a symbol.", [symbol, *_STAMP], bar_answer),
        _struct(
            "SymbolWarmUp",
            "A symbol that has too few bars for a prediction yet.",
            [*nothing, ("bar", BarMark | None), symbol, *_STAMP],
        ),
        _struct(
            "BatchRows",
            "The predictions of a batch, row by row.",
            [("predictions", list[row]), ("count", int), ("errors", int), *_STAMP],
        ),
        _struct(
            "BatchColumns",
            "The predictions of a batch as columns; a bad row is null in every one.",
            [
                ("prediction", list[index | None]),
                ("prediction_label", list[label | None]),
                ("probability", list[float | None]),
                ("probabilities", columns),
                ("count", int),
                ("errors", int),
                ("bad_rows", list[BadRow]),
                *_STAMP,
            ],
        ),
        answer,
        bar_answer,
        every_bar,
        FailedTicker,
        FailedRow,
    ]


def _by_label(card: ModelCard, values: Any, schema: dict[str, Any]) -> Any:
    """Return the type of an object with one member a class: a label may be any text, which a field's name may not."""
    members = {
        "properties": dict.fromkeys(card.labels, schema),
        "required": list(card.labels),
        "additionalProperties": False,
    }
    return Annotated[values, msgspec.Meta(extra_json_schema=members)]


def _struct(
    name: str,
    summary: str,
    fields: Sequence[tuple[str, Any]],
    base: type[msgspec.Struct] = msgspec.Struct,
) -> type[msgspec.Struct]:
    return msgspec.defstruct(name, fields, bases=(base,), kw_only=True, namespace={"__doc__": summary})
