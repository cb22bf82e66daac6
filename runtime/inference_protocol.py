"""The Open Inference Protocol v2 of one model: its tensors, whatever wire format they come in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime.artifact import ModelCard
from runtime.decoding import not_finite
from runtime.predictor import Predictor
from runtime.problems import Problem

INPUT = "features"
"""Name of the only input tensor."""

PROBABILITIES, LABEL, PREDICTION = "probabilities", "label", "prediction"

OUTPUTS = {PROBABILITIES: "FP32", LABEL: "BYTES", PREDICTION: "INT64"}
"""Datatypes of the output tensors, in the order in which they are returned where a request names none."""

DATATYPES: Mapping[str, np.dtype[Any]] = {
    name: np.dtype(code) for name, code in (("FP32", "<f4"), ("FP64", "<f8"), ("INT32", "<i4"), ("INT64", "<i8"))
}
"""Datatypes that the input tensor may have, with their bytes on the wire."""

PIECE_ELEMENTS = 4096
"""Elements that are converted at once: that holds the interpreter's lock, and single predictions wait for it."""

EXTENSIONS = ("binary_tensor_data",)

PLATFORM = "onnx_onnxv1"
"""The protocol's name for an ONNX model."""

_FOREIGN_PARAMETERS = ("classification", "shared_memory_region")
"""Parameters of extensions that would change what a tensor means or where it is: to ignore them would mislead."""


class ServerMetadata(msgspec.Struct, frozen=True):
    """What the server says of itself."""

    name: str
    version: str
    extensions: Sequence[str]


class TensorMetadata(msgspec.Struct, frozen=True):
    """Name, datatype and shape of a tensor; -1 stands for any number of rows."""

    name: str
    datatype: str
    shape: Sequence[int]


class ModelMetadata(msgspec.Struct, frozen=True):
    """What the server says of its model."""

    name: str
    versions: Sequence[str]
    platform: str
    inputs: Sequence[TensorMetadata]
    outputs: Sequence[TensorMetadata]


def describe_server() -> ServerMetadata:
    """Return the server's metadata."""
    return ServerMetadata("tickline", version("tickline"), EXTENSIONS)


def describe_model(card: ModelCard) -> ModelMetadata:
    """Return a model's metadata."""
    inputs = [TensorMetadata(INPUT, "FP32", (-1, len(card.feature_names)))]
    outputs = [TensorMetadata(name, datatype, output_shape(name, -1, card)) for name, datatype in OUTPUTS.items()]
    return ModelMetadata(card.name, (card.version,), PLATFORM, inputs, outputs)


def output_shape(name: str, rows: int, card: ModelCard) -> tuple[int, ...]:
    """Return the shape of an output tensor."""
    return (rows, len(card.labels)) if name == PROBABILITIES else (rows,)


def check_model(card: ModelCard, name: str, version: str = "") -> None:
    """Refuse another model than the served one; no version means the served one.

    Raises
    ------
    Problem
        404 where name or version is another one.
    """
    if name != card.name:
        raise Problem(404, f"expected {card.name}, which is the only model here, got {name}", field="model_name")
    if version not in ("", card.version):
        raise Problem(404, f"expected {card.version}, which is served now, got {version}", field="model_version")


@dataclass(frozen=True, slots=True)
class Inference:
    """A decoded request: finite rows, float32 (rows, features); its id, if any; outputs by name, and if each is raw."""

    rows: NDArray[np.float32]
    id: str | None
    outputs: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class InputTensor:
    """An input tensor as a request describes it, without its data."""

    name: str
    datatype: str
    shape: Sequence[int]

    def count_rows(self, card: ModelCard, max_rows: int) -> int:
        """Return the number of rows of a tensor that fits a model.

        Raises
        ------
        Problem
            422 where name, datatype or shape do not fit; 413 where there are more than `max_rows`.
        """
        if self.name != INPUT:
            raise Problem(422, f"expected {INPUT}, got {self.name}", field="inputs[0].name")
        if self.datatype not in DATATYPES:
            expected = ", ".join(DATATYPES)
            raise Problem(422, f"expected one of {expected}, got {self.datatype}", field="inputs[0].datatype")
        width = len(card.feature_names)
        if len(self.shape) != 2 or self.shape[1] != width or self.shape[0] < 0:
            hint = f"; one row has the shape [1, {width}]" if list(self.shape) == [width] else ""
            detail = f"expected [rows, {width}], got {list(self.shape)}{hint}"
            raise Problem(422, detail, field="inputs[0].shape")
        if self.shape[0] == 0:
            raise Problem(422, "expected at least 1 row, got 0", field="inputs[0].shape")
        if self.shape[0] > max_rows:
            raise Problem(413, f"expected at most {max_rows} rows, got {self.shape[0]}", field="inputs[0].shape")
        return self.shape[0]

    def view(self, raw: memoryview, field: str) -> NDArray[Any]:
        """Return the elements in raw bytes, little-endian and row-major, without a copy; raises Problem."""
        datatype = DATATYPES[self.datatype]
        expected = self.shape[0] * self.shape[1] * datatype.itemsize
        if raw.nbytes != expected:
            detail = f"expected {expected} bytes of {self.datatype} {list(self.shape)}, got {raw.nbytes}"
            raise Problem(422, detail, field=field)
        return np.frombuffer(raw, datatype)

    def rows(self, elements: NDArray[Any]) -> NDArray[np.float32]:
        """Return elements, row-major, as finite rows, float32 (rows, features), without a copy where they are such.

        Raises
        ------
        Problem
            422 where a number is not finite, not of float32's range, or an integer that float32 does not have.
        """
        elements = elements.reshape(self.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            rows: NDArray[np.float32] = np.require(elements, np.float32, ("C", "A"))
            finite = np.isfinite(rows)
            if not finite.all():
                row, column = np.argwhere(~finite)[0]
                raise not_finite(f"{INPUT}[{row}][{column}]", str(elements[row, column]))
            if elements.dtype.kind == "i":
                # float32 may round up to 2**63, which no int64 holds.
                equal = (rows < 2.0**63) & (rows.astype(np.int64) == elements)
                if not equal.all():
                    row, column = np.argwhere(~equal)[0]
                    detail = f"expected an integer that float32 represents exactly, got {elements[row, column]}"
                    raise Problem(422, detail, field=f"{INPUT}[{row}][{column}]")
        return rows


def check_inputs(count: int) -> None:
    """Refuse any other number of input tensors than one; raises Problem."""
    if count != 1:
        raise Problem(422, f"expected 1 tensor, {INPUT}, got {count}", field="inputs")


def select_outputs(requested: Iterable[tuple[str, bool]], raw: bool) -> dict[str, bool]:
    """Return the outputs of a reply and if each is raw: those requested, in order, or all where there are none.

    Raises
    ------
    Problem
        422 where a name is unknown or comes twice.
    """
    selected: dict[str, bool] = {}
    for index, (name, form) in enumerate(requested):
        field = f"outputs[{index}].name"
        if name not in OUTPUTS:
            raise Problem(422, f"expected one of {', '.join(OUTPUTS)}, got {name}", field=field)
        if name in selected:
            raise Problem(422, f"expected each output once, got {name} again", field=field)
        selected[name] = form
    return selected or dict.fromkeys(OUTPUTS, raw)


def check_parameters(names: Iterable[str], field: str) -> None:
    """Refuse parameters of extensions that are not served; raises Problem."""
    foreign = [name for name in _FOREIGN_PARAMETERS if name in names]
    if foreign:
        detail = f"the extension of this parameter is not served; served are {', '.join(EXTENSIONS)}"
        raise Problem(422, detail, field=f"{field}.{foreign[0]}")


class Answer:
    """What a model says to the rows of a request.

    Parameters
    ----------
    predictor : Predictor
        The model.
    rows : ndarray
        Finite rows, float32 (rows, features).

    Raises
    ------
    Problem
        422 where a probability is not finite.
    """

    def __init__(self, predictor: Predictor, rows: NDArray[np.float32]) -> None:
        self.card = predictor.card
        self.probabilities = predictor.predict(rows)
        if not np.isfinite(self.probabilities).all():
            raise Problem(422, "the model's answer to these values is not finite", field=INPUT)
        predictor.tell(rows, self.probabilities)
        self.classes: NDArray[np.int64] = self.probabilities.argmax(axis=1)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an output tensor."""
        return output_shape(name, len(self.classes), self.card)

    def counts(self) -> list[int]:
        """Return the number of rows of each class."""
        counts: list[int] = np.bincount(self.classes, minlength=len(self.card.labels)).tolist()
        return counts

    def elements(self, name: str) -> list[Any]:
        """Return the elements of an output tensor, row-major, as numbers or texts."""
        if name == LABEL:
            return [self.card.labels[index] for index in self.classes]
        values: list[Any] = (self.probabilities if name == PROBABILITIES else self.classes).ravel().tolist()
        return values

    def raw(self, name: str) -> bytes:
        """Return the bytes of an output tensor: little-endian, row-major; a text is its length, uint32, and UTF-8."""
        if name == LABEL:
            texts = [label.encode() for label in self.card.labels]
            packed = [len(text).to_bytes(4, "little") + text for text in texts]
            return b"".join(packed[index] for index in self.classes)
        if name == PROBABILITIES:
            return self.probabilities.astype("<f4", copy=False).tobytes()
        return self.classes.astype("<i8", copy=False).tobytes()
