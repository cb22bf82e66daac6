"""An ONNX model as plain objects: nodes, attributes, tensors, metadata.

The fields are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Attributes and tensors are decoded when
they are asked for, so that what a program does not need costs nothing.
"""

import math
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from runtime.compiled.errors import Unsupported
from runtime.compiled.protobuf import Message

MAIN_DOMAIN = "ai.onnx"
"""What the empty domain means."""

FLOAT, UINT8, INT32, INT64, DOUBLE = 1, 2, 6, 7, 11
_MOST_DIMENSIONS = 8
_ATTRIBUTE_KINDS = {1: "a float", 2: "an int", 3: "a string", 4: "a tensor", 6: "floats", 7: "ints", 8: "strings"}

Array = NDArray[Any]
"""float32, float64, uint8, int32 or int64."""

_TYPES: dict[int, type[np.generic]] = {
    FLOAT: np.float32,
    UINT8: np.uint8,
    INT32: np.int32,
    INT64: np.int64,
    DOUBLE: np.float64,
}


class Tensor:
    """A constant of the file."""

    def __init__(self, message: Message) -> None:
        self.name = message.text(8, "name")
        self._message = message

    def array(self) -> Array:
        """Return the values.

        Raises
        ------
        Unsupported
            They are of another type, or in another file.
        MalformedGraph
            They are not as many as the dimensions say.
        """
        message = self._message
        kind = message.integer(2, "data_type")
        if message.integer(14, "data_location") or message.has(13):
            raise Unsupported(f"the data of tensor {self.name} is in another file")
        if message.has(3):
            raise Unsupported(f"tensor {self.name} is a segment of another")
        if kind not in _TYPES:
            raise Unsupported(
                f"the data type of tensor {self.name} is {kind}, not one of {', '.join(map(str, _TYPES))}"
            )
        values = self._values(kind)
        shape = message.integers(1, "dims").tolist()
        if len(shape) > _MOST_DIMENSIONS or min(shape, default=0) < 0 or math.prod(shape) != len(values):
            message.fail(f"expected values for dimensions {shape[:_MOST_DIMENSIONS]}, got {len(values)}")
        return values.reshape(shape)

    def _values(self, kind: int) -> Array:
        """Return the values in a row."""
        message, dtype = self._message, np.dtype(_TYPES[kind])
        raw = message.content(9, "raw_data")
        if raw is not None:
            if len(raw) % dtype.itemsize:
                message.fail(f"raw_data: expected a multiple of {dtype.itemsize} bytes, got {len(raw)}")
            return np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype)
        if kind == FLOAT:
            return message.floats(4, "float_data")
        if kind == DOUBLE:
            return message.doubles(10, "double_data")
        if kind == INT64:
            return message.integers(7, "int64_data")
        return message.integers(5, "int32_data").astype(dtype)


class Attribute:
    """One attribute of a node; every accessor raises a `MalformedGraph` unless it is of that type."""

    def __init__(self, message: Message) -> None:
        self.name = message.text(1, "name")
        self.reference = message.has(21)
        message.path += f" ({self.name})"
        self._message = message

    def _expect(self, kind: int) -> Message:
        found = self._message.integer(20, "type")
        if found != kind or self.reference:
            self._message.fail(f"expected {_ATTRIBUTE_KINDS[kind]}, got {_ATTRIBUTE_KINDS.get(found, f'type {found}')}")
        return self._message

    def floating(self) -> np.float32:
        """Return a float32 number."""
        return self._expect(1).floating(2, "f")

    def integer(self) -> int:
        """Return an int64 number."""
        return self._expect(2).integer(3, "i")

    def text(self) -> str:
        """Return a text."""
        return self._expect(3).text(4, "s")

    def tensor(self) -> Array:
        """Return the values of a tensor; see `Tensor.array`."""
        message = self._expect(4).message(5, "t")
        if message is None:
            self._message.fail("expected a tensor, got none")
        return Tensor(message).array()

    def floats(self) -> NDArray[np.float32]:
        """Return float32 numbers."""
        return self._expect(6).floats(7, "floats")

    def integers(self) -> NDArray[np.int64]:
        """Return int64 numbers."""
        return self._expect(7).integers(8, "ints")

    def texts(self) -> list[str]:
        """Return texts."""
        return self._expect(8).texts(9, "strings")

    def words(self) -> tuple[list[str], NDArray[np.int64]]:
        """Return the different texts, and for every entry the index of its text; for many of a few."""
        return self._expect(8).words(9, "strings")

    def fail(self, reason: str) -> NoReturn:
        """Raise a `MalformedGraph` that names the attribute."""
        self._message.fail(reason)


@dataclass(frozen=True, slots=True)
class Node:
    """One operation. `path` leads to it in the file; `domain` is never empty."""

    path: str
    name: str
    operator: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Attribute]


@dataclass(frozen=True, slots=True)
class ValueInfo:
    """A value that goes in or out: `elements` its data type or 0, `shape` its dimensions, None where one is open."""

    name: str
    elements: int
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in the order in which they run, constants by name, and what goes in and out."""

    nodes: tuple[Node, ...]
    initializers: dict[str, Tensor]
    sparse_initializers: bool
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A model file.

    Attributes
    ----------
    opsets : dict
        Domain -> version of its operator set, the main domain as "ai.onnx".
    metadata : dict
        The metadata properties.
    functions : bool
        Whether the model defines operators of its own.
    graph : Graph
        What it computes.
    """

    opsets: dict[str, int]
    metadata: dict[str, str]
    functions: bool
    graph: Graph


def read_model(content: bytes) -> Model:
    """Read a serialized ModelProto.

    Parameters
    ----------
    content : bytes
        The model file.

    Returns
    -------
    Model
        Its parts.

    Raises
    ------
    MalformedGraph
        The bytes are no ONNX model; the message leads to the fault.
    """
    message = Message(content, 0, len(content), "model")
    graph = message.message(7, "graph")
    if graph is None:
        message.fail("expected a graph, got none")
    opsets: dict[str, int] = {}
    for entry in message.messages(8, "opset_import"):
        domain = entry.text(1, "domain") or MAIN_DOMAIN
        if domain in opsets:
            entry.fail(f"domain: expected every domain once, got {domain} again")
        opsets[domain] = entry.integer(2, "version")
    metadata: dict[str, str] = {}
    for entry in message.messages(14, "metadata_props"):
        key = entry.text(1, "key")
        if key in metadata:
            entry.fail(f"key: expected every key once, got {key} again")
        metadata[key] = entry.text(2, "value")
    return Model(opsets, metadata, message.has(25), _graph(graph))


def _graph(message: Message) -> Graph:
    initializers: dict[str, Tensor] = {}
    for entry in message.messages(5, "initializer"):
        tensor = Tensor(entry)
        if not tensor.name or tensor.name in initializers:
            entry.fail(f"name: expected a name of its own, got {tensor.name!r}")
        initializers[tensor.name] = tensor
    return Graph(
        nodes=tuple(_node(entry) for entry in message.messages(1, "node")),
        initializers=initializers,
        sparse_initializers=message.has(15),
        inputs=tuple(_value_info(entry) for entry in message.messages(11, "input")),
        outputs=tuple(_value_info(entry) for entry in message.messages(12, "output")),
    )


def _node(message: Message) -> Node:
    operator, name = message.text(4, "op_type"), message.text(3, "name")
    message.path += f" ({operator} {name})" if name else f" ({operator})"
    attributes: dict[str, Attribute] = {}
    for entry in message.messages(5, "attribute"):
        attribute = Attribute(entry)
        if attribute.name in attributes:
            entry.fail(f"expected every attribute once, got {attribute.name} again")
        attributes[attribute.name] = attribute
    return Node(
        path=message.path,
        name=name,
        operator=operator,
        domain=message.text(7, "domain") or MAIN_DOMAIN,
        inputs=tuple(message.texts(1, "input")),
        outputs=tuple(message.texts(2, "output")),
        attributes=attributes,
    )


def _value_info(message: Message) -> ValueInfo:
    name = message.text(1, "name")
    kind = message.message(2, "type")
    tensor = kind.message(1, "tensor_type") if kind else None
    if tensor is None:
        return ValueInfo(name, 0, None)
    shape = tensor.message(2, "shape")
    return ValueInfo(
        name=name,
        elements=tensor.integer(1, "elem_type"),
        shape=None
        if shape is None
        else tuple(
            dimension.integer(1, "dim_value") if dimension.has(1) else None for dimension in shape.messages(1, "dim")
        ),
    )
