"""Inference requests and replies as JSON, with tensors in it or as binary data behind it."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime import long_tensor
from runtime.artifact import ModelCard
from runtime.decoding import DECODE_ERRORS, explain
from runtime.inference_protocol import (
    DATATYPES,
    INPUT,
    OUTPUTS,
    PIECE_ELEMENTS,
    Answer,
    Inference,
    InputTensor,
    check_inputs,
    check_parameters,
    select_outputs,
)
from runtime.problems import Problem

PIECE_BYTES = 64 * 2**10
"""JSON that is decoded at once: the decoder holds the interpreter's lock, and single predictions wait for it."""

Parameters = dict[str, bool | int | float | str]

_DATA = "inputs[0].data"
_BINARY_SIZE = "binary_data_size"
_SIZE_FIELD = f"inputs[0].parameters.{_BINARY_SIZE}"
_FIRST_INDEX = re.compile(r"(?<=`\$\[)\d+")


def _described(**schema: Any) -> msgspec.Meta:
    """Return what JSON Schema can say beyond a type; the decoder leaves it to those who check values."""
    return msgspec.Meta(extra_json_schema=schema)


Numbers = Annotated[
    msgspec.Raw, _described(type="array", minItems=1, items={"type": ["number", "array"], "items": {"type": "number"}})
]
OutputName = Annotated[str, _described(enum=list(OUTPUTS))]


class RequestInput(msgspec.Struct):
    """`$request_input` of the protocol."""

    name: Annotated[str, _described(const=INPUT)]
    shape: Annotated[list[int], _described(minItems=2, maxItems=2)]
    datatype: Annotated[str, _described(enum=list(DATATYPES))]
    parameters: Parameters | None = None
    data: Numbers | msgspec.UnsetType = msgspec.UNSET


class RequestOutput(msgspec.Struct):
    """`$request_output` of the protocol."""

    name: OutputName
    parameters: Parameters | None = None


class InferenceRequest(msgspec.Struct):
    """`$inference_request` of the protocol."""

    inputs: Annotated[list[RequestInput], _described(minItems=1, maxItems=1)]
    outputs: list[RequestOutput] | None = None
    id: str | None = None
    parameters: Parameters | None = None


class ReplyOutput(msgspec.Struct, omit_defaults=True):
    """`$response_output` of the protocol."""

    name: OutputName
    datatype: Annotated[str, _described(enum=list(OUTPUTS.values()))]
    shape: tuple[int, ...]
    parameters: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    data: Annotated[msgspec.Raw, _described(type="array")] | msgspec.UnsetType = msgspec.UNSET


class InferenceReply(msgspec.Struct, omit_defaults=True, kw_only=True):
    """`$inference_response` of the protocol."""

    model_name: str
    model_version: str
    id: str | msgspec.UnsetType = msgspec.UNSET
    outputs: list[ReplyOutput]


_REQUEST = msgspec.json.Decoder(InferenceRequest)
_FLOATS: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[float | list[float]])
_INTEGERS: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[int | list[int]])


def decode_request(body: bytes, json_length: int | None, card: ModelCard, max_rows: int) -> Inference:
    """Decode the body of an inference request.

    Parameters
    ----------
    body : bytes
        JSON, and behind it binary data where the request has some.
    json_length : int or None
        Bytes of the JSON; None where it is the whole body.
    card : ModelCard
        The model that is to answer.
    max_rows : int
        Most rows of a request.

    Raises
    ------
    Problem
        400 where the JSON is malformed, 422 where a value does not fit, 413 where there are too many rows.
    """
    if json_length is not None and json_length > len(body):
        detail = f"expected at most the {len(body)} bytes of the body, got {json_length}"
        raise Problem(400, detail, field="Inference-Header-Content-Length")
    whole = memoryview(body)
    head = whole[:json_length]
    if PIECE_BYTES < len(head) == len(body) and (tensor := long_tensor.find(body)):
        with suppress(Problem):  # which is worded by reading the request as it is
            return _decode(tensor.around, head[:0], json_length, tensor.elements, card, max_rows)
    return _decode(head, whole[len(head) :], json_length, _json_elements, card, max_rows)


def _decode(
    head: bytes | memoryview,
    tail: memoryview,
    json_length: int | None,
    json_elements: Callable[[bytes, str, tuple[int, int]], NDArray[Any]],
    card: ModelCard,
    max_rows: int,
) -> Inference:
    """Decode a request of JSON and of the binary data behind it, whose JSON data `json_elements` reads."""
    try:
        request = _REQUEST.decode(head)
    except DECODE_ERRORS as error:
        raise explain(head, error) from None
    check_inputs(len(request.inputs))
    given = request.inputs[0]
    parameters = given.parameters or {}
    check_parameters(parameters, "inputs[0].parameters")
    tensor = InputTensor(given.name, given.datatype, given.shape)
    count = tensor.count_rows(card, max_rows)
    data = b"" if given.data is msgspec.UNSET else bytes(given.data)
    if _BINARY_SIZE in parameters or tail:
        if data:
            raise Problem(422, "expected either JSON data or binary data, got both", field=_DATA)
        _check_binary_size(parameters.get(_BINARY_SIZE), tail.nbytes, json_length)
        elements = tensor.view(tail, _SIZE_FIELD)
    elif data:
        elements = json_elements(data, given.datatype, (count, len(card.feature_names)))
    else:
        raise Problem(422, "this field is required and missing", field=_DATA)
    return Inference(tensor.rows(elements), request.id, _select(request))


def _select(request: InferenceRequest) -> dict[str, bool]:
    """Return the requested outputs, and if each is to be binary; raises Problem."""
    binary = _flag(request.parameters, "binary_data_output", "parameters", False)
    requested = []
    for index, output in enumerate(request.outputs or ()):
        field = f"outputs[{index}].parameters"
        check_parameters(output.parameters or (), field)
        requested.append((output.name, _flag(output.parameters, "binary_data", field, binary)))
    return select_outputs(requested, binary)


def _flag(parameters: Parameters | None, name: str, field: str, default: bool) -> bool:
    """Return a parameter that is true or false; raises Problem."""
    value = (parameters or {}).get(name, default)
    if not isinstance(value, bool):
        raise Problem(422, f"expected true or false, got {value!r}", field=f"{field}.{name}")
    return value


def _check_binary_size(declared: object, found: int, json_length: int | None) -> None:
    """Check that all bytes behind the JSON are those that the input declares; raises Problem."""
    if json_length is None:
        detail = "this header is required with binary data and missing; it gives the bytes of the JSON"
        raise Problem(400, detail, field="Inference-Header-Content-Length")
    if type(declared) is not int or declared != found:
        raise Problem(422, f"expected {found}, the bytes behind the JSON, got {declared!r}", field=_SIZE_FIELD)


def _json_elements(text: bytes, datatype: str, shape: tuple[int, int]) -> NDArray[Any]:
    """Return the numbers of a JSON array, flat or with one array a row, in row-major order; raises Problem."""
    integers = datatype.startswith("INT")
    decode = (_INTEGERS if integers else _FLOATS).decode
    dtype = DATATYPES[datatype] if integers else np.dtype(np.float64)
    parts: list[NDArray[Any]] = []
    done = 0
    for piece in _pieces(text):
        try:
            values = decode(piece)
            parts.append(np.array(values, dtype))
        except msgspec.ValidationError as error:
            raise explain(piece, _shifted(error, done), _DATA) from None
        except DECODE_ERRORS as error:
            raise _unlike(shape, str(error)) from None
        except OverflowError:
            raise Problem(422, f"expected integers of {datatype}'s range", field=_DATA) from None
        except ValueError:
            raise _unlike(shape, "arrays of different lengths") from None
        done += len(values)
    rows, width = shape
    found = {part.shape[1:] for part in parts}
    if (found, done) not in (({()}, rows * width), ({(width,)}, rows)):
        raise _unlike(shape, f"{sum(part.size for part in parts)} numbers")
    return np.concatenate(parts)


def _pieces(text: bytes) -> Iterator[bytes]:
    """Cut a long JSON array of numbers or of rows behind some of its elements, into arrays."""
    if len(text) <= PIECE_BYTES or not text.startswith(b"["):
        yield text
        return
    begin, end = 1, len(text) - 1
    nested = text[begin : begin + PIECE_BYTES].lstrip().startswith(b"[")
    while begin <= end:
        cut = begin + PIECE_BYTES
        if nested:
            cut = text.find(b"]", cut, end)
        cut = text.find(b",", cut, end) if cut >= 0 else -1
        if cut < 0:
            cut = end
        yield b"[%b]" % text[begin:cut]
        begin = cut + 1


def _shifted(error: msgspec.ValidationError, by: int) -> msgspec.ValidationError:
    """Return the error of a piece with its path in the whole array."""
    return msgspec.ValidationError(_FIRST_INDEX.sub(lambda index: str(int(index[0]) + by), str(error)))


def _unlike(shape: tuple[int, int], received: str) -> Problem:
    rows, width = shape
    detail = f"expected {rows * width} numbers, flat or in {rows} arrays of {width}, got {received}"
    return Problem(422, detail, field=_DATA)


def encode_reply(inference: Inference, answer: Answer) -> tuple[int | None, bytes]:
    """Return the reply to an inference request: the bytes of its JSON where binary data follows, and all its bytes."""
    outputs, tail = [], []
    for name, binary in inference.outputs.items():
        output = ReplyOutput(name, OUTPUTS[name], answer.shape(name))
        if binary:
            raw = answer.raw(name)
            output.parameters = {_BINARY_SIZE: len(raw)}
            tail.append(raw)
        else:
            output.data = _json_array(answer.elements(name))
        outputs.append(output)
    card = answer.card
    id = msgspec.UNSET if inference.id is None else inference.id
    reply = InferenceReply(model_name=card.name, model_version=card.version, id=id, outputs=outputs)
    head = msgspec.json.encode(reply)
    return (len(head) if tail else None), b"".join((head, *tail))


def _json_array(elements: list[Any]) -> msgspec.Raw:
    """Encode elements as one JSON array, piece by piece."""
    starts = range(0, len(elements), PIECE_ELEMENTS)
    pieces = [msgspec.json.encode(elements[start : start + PIECE_ELEMENTS])[1:-1] for start in starts]
    return msgspec.Raw(b"[%b]" % b",".join(pieces))
