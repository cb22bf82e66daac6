"""JSON against binary data, short against long, and any bytes at all."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from runtime.artifact import ModelCard
from runtime.inference_json import PIECE_BYTES, decode_request, encode_reply
from runtime.inference_protocol import DATATYPES, OUTPUTS, PIECE_ELEMENTS, Answer, Inference
from runtime.predictor import Predictor
from runtime.problems import Problem
from tests.runtime.conftest import FIVE_NAMES, random_rows
from tests.runtime.test_inference_protocol import unpack

CARD = ModelCard(
    name="small", version="7", feature_names=("a", "b", "c"), labels=("no", "yes"), created="2026-01-01T00:00:00Z"
)
MAX_ROWS = 40_000


def document(data: Any = None, datatype: str = "FP32", shape: Any = (2, 3), **members: Any) -> dict[str, Any]:
    """Return a request with JSON data, or without any."""
    tensor = {"name": "features", "shape": shape, "datatype": datatype}
    return {"inputs": [tensor if data is None else {**tensor, "data": data}], **members}


def decode(request: dict[str, Any]) -> Inference:
    return decode_request(json.dumps(request).encode(), None, CARD, MAX_ROWS)


def with_binary(request: dict[str, Any], raw: bytes, size: Any = None, length: int | None = None) -> tuple[bytes, int]:
    """Return the body of a request with binary data, and the length of its JSON."""
    request["inputs"][0]["parameters"] = {"binary_data_size": len(raw) if size is None else size}
    head = json.dumps(request).encode()
    return head + raw, len(head) if length is None else length


def outcome(body: bytes, length: int | None) -> tuple[str, Any]:
    """Return the rows of a body, or what is said of it."""
    try:
        return "rows", decode_request(body, length, CARD, MAX_ROWS).rows.tobytes()
    except Problem as problem:
        return "problem", problem.status


finite = {"FP32": st.floats(width=32, allow_nan=False, allow_infinity=False), "FP64": st.floats(-3e38, 3e38)}
arrays = st.sampled_from(list(DATATYPES)).flatmap(
    lambda datatype: st.tuples(
        st.just(datatype),
        hnp.arrays(DATATYPES[datatype], st.tuples(st.integers(1, 4), st.just(3)), elements=finite.get(datatype)),
    )
)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(arrays)
def test_flat_nested_and_binary_are_the_same(given: tuple[str, NDArray[Any]]) -> None:
    datatype, array = given
    request = document(datatype=datatype, shape=array.shape)
    results = {
        outcome(*with_binary(request, array.tobytes())),
        outcome(json.dumps(document(array.tolist(), datatype, array.shape)).encode(), None),
        outcome(json.dumps(document(array.ravel().tolist(), datatype, array.shape), indent=1).encode(), None),
    }
    assert len(results) == 1
    exact = np.array_equal(array.astype(np.float32).astype(object), array.astype(object))
    if exact or datatype.startswith("FP"):
        assert results == {("rows", array.astype(np.float32).tobytes())}


@pytest.mark.parametrize("nested", [False, True])
def test_long_json_is_read_piece_by_piece_to_the_same_rows(nested: bool) -> None:
    rows = random_rows(9000, 3, seed=4)
    data = rows.tolist() if nested else rows.ravel().tolist()
    body = json.dumps(document(data, shape=rows.shape), indent=2).encode()
    assert len(body) > 4 * PIECE_BYTES
    assert outcome(body, None) == ("rows", rows.tobytes())


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("position", [0, 1234, 26_998, 26_999])
@pytest.mark.parametrize("wrong", ["1", None, True, {}])
def test_a_wrong_value_is_named_in_long_json_too(nested: bool, position: int, wrong: Any) -> None:
    flat: list[Any] = [0.5] * 27_000
    flat[position] = wrong
    row, column = divmod(position, 3)
    data = [flat[start : start + 3] for start in range(0, 27_000, 3)] if nested else flat
    with pytest.raises(Problem) as caught:
        decode(document(data, shape=(9000, 3)))
    path = f"[{row}][{column}]" if nested else f"[{position}]"
    assert caught.value.members["field"] == f"inputs[0].data{path}"


LONG = [0.5] * 120_000
MISFITS: dict[str, tuple[Any, str]] = {
    "too few": ([1] * 5, "got 5 numbers"),
    "too many": ([1] * 7, "got 7 numbers"),
    "none": ([], "got 0 numbers"),
    "empty rows": ([[], []], "got 0 numbers"),
    "ragged": ([[1, 2, 3], [1, 2]], "arrays of different lengths"),
    "transposed": ([[1, 2], [3, 4], [5, 6]], "got 6 numbers"),
    "mixed": ([1, 2, 3, [1, 2, 3]], "arrays of different lengths"),
    "too deep": ([[[1, 2, 3], [4, 5, 6]]], r"data\[0\]\[0\]: expected number, got array"),
    "a number": (5, "expected array, got "),
    "a text": ("AAAA", "expected array, got "),
    "an object": ({"a": [1, 2]}, "expected array, got "),
    "null": (None, "required and missing"),
    "long and ragged": ([*LONG, [1]], "expected 6 numbers, flat or in 2 arrays of 3, got "),
    "long and mixed": ([[1, 2, 3]] * 40_000 + LONG, "expected 6 numbers"),
    "long text": ("," * PIECE_BYTES * 2, "expected array, got "),
    "long texts": (["],[" * PIECE_BYTES] * 2, "expected 6 numbers"),
    "long object": ({"a": LONG}, "expected array, got "),
    "long and deep": ([[[1, 2, 3]] * 40_000], "expected "),
}


@pytest.mark.parametrize(("data", "said"), MISFITS.values(), ids=MISFITS.keys())
def test_data_that_does_not_fit_its_shape_is_refused(data: Any, said: str) -> None:
    with pytest.raises(Problem, match=said) as caught:
        decode(document(data))
    assert caught.value.status == 422
    assert caught.value.members["field"].startswith("inputs[0].data")


REQUESTS: dict[str, tuple[bytes, int, str | None]] = {
    "empty": (b"", 400, None),
    "no JSON": (b'{"inputs": [', 400, None),
    "not UTF-8": (b'{"inputs": [], "id": "\xff"}', 400, None),
    "a list": (b"[]", 422, "body"),
    "no inputs": (b"{}", 422, "inputs"),
    "no tensor": (b'{"inputs": []}', 422, "inputs"),
    "two tensors": (json.dumps({"inputs": document([1] * 6)["inputs"] * 2}).encode(), 422, "inputs"),
    "no shape": (b'{"inputs": [{"name": "features", "datatype": "FP32"}]}', 422, "inputs[0].shape"),
    "shape of numbers": (json.dumps(document([1], shape=[1.5, 3])).encode(), 422, "inputs[0].shape[0]"),
    "shape of 0 rows": (json.dumps(document([], shape=[0, 3])).encode(), 422, "inputs[0].shape"),
    "too many rows": (json.dumps(document([], shape=[MAX_ROWS + 1, 3])).encode(), 413, "inputs[0].shape"),
    "one row without its list": (json.dumps(document([1] * 3, shape=[3])).encode(), 422, "inputs[0].shape"),
    "BYTES": (json.dumps(document(["1"] * 6, "BYTES")).encode(), 422, "inputs[0].datatype"),
    "id is a number": (json.dumps(document([1] * 6, id=5)).encode(), 422, "id"),
    "unknown output": (json.dumps(document([1] * 6, outputs=[{"name": "x"}])).encode(), 422, "outputs[0].name"),
    "output of a foreign extension": (
        json.dumps(document([1] * 6, outputs=[{"name": "label", "parameters": {"classification": 2}}])).encode(),
        422,
        "outputs[0].parameters.classification",
    ),
    "binary_data is no flag": (
        json.dumps(document([1] * 6, outputs=[{"name": "label", "parameters": {"binary_data": 1}}])).encode(),
        422,
        "outputs[0].parameters.binary_data",
    ),
    "binary_data_output is no flag": (
        json.dumps(document([1] * 6, parameters={"binary_data_output": "yes"})).encode(),
        422,
        "parameters.binary_data_output",
    ),
    "NaN": (json.dumps(document([1, 2, float("nan"), 4, 5, 6])).encode(), 422, "inputs[0].data[2]"),
    "Infinity": (json.dumps(document([[1, 2, 3], [4, float("-inf"), 6]])).encode(), 422, "inputs[0].data[1][1]"),
    "1e400": (b"1e400".join(json.dumps(document([1, 2, 77, 4, 5, 6])).encode().split(b"77")), 422, "inputs[0].data[2]"),
    "beyond float32": (json.dumps(document([1, 2, 3, 4, 1e39, 6])).encode(), 422, "features[1][1]"),
    "fraction as INT32": (json.dumps(document([1, 2.5, 3, 4, 5, 6], "INT32")).encode(), 422, "inputs[0].data[1]"),
    "beyond INT32": (json.dumps(document([1, 2**31, 3, 4, 5, 6], "INT32")).encode(), 422, "inputs[0].data"),
    "beyond INT64": (json.dumps(document([1, 2**63, 3, 4, 5, 6], "INT64")).encode(), 422, "inputs[0].data"),
    "between floats": (json.dumps(document([1, 2**24 + 1, 3, 4, 5, 6], "INT64")).encode(), 422, "features[0][1]"),
    "deep": (b'{"inputs": [{"data": ' + b"[" * 100_000, 400, None),
    "deep elsewhere": (b'{"inputs": [], "more": ' + b'{"a":' * 100_000, 400, None),
}


@pytest.mark.parametrize(("body", "status", "field"), REQUESTS.values(), ids=REQUESTS.keys())
def test_a_bad_request_is_a_problem_that_names_the_field(body: bytes, status: int, field: str | None) -> None:
    with pytest.raises(Problem) as caught:
        decode_request(body, None, CARD, MAX_ROWS)
    assert (caught.value.status, caught.value.members.get("field")) == (status, field)


RAW = np.arange(6, dtype=np.float32).tobytes()
SIZE = "inputs[0].parameters.binary_data_size"
BINARY: dict[str, tuple[tuple[bytes, int | None], str]] = {
    "too few bytes": (with_binary(document(), RAW[:-4]), SIZE),
    "too many bytes": (with_binary(document(), RAW + RAW), SIZE),
    "declares less": (with_binary(document(), RAW, size=20), SIZE),
    "declares more": (with_binary(document(), RAW, size=28), SIZE),
    "declares a fraction": (with_binary(document(), RAW, size=24.5), SIZE),
    "declares a text": (with_binary(document(), RAW, size="24"), SIZE),
    "declares true": (with_binary(document(), RAW, size=True), SIZE),
    "declares nothing": ((json.dumps(document()).encode() + RAW, len(json.dumps(document()))), SIZE),
    "no header": ((with_binary(document(), b"", size=24)[0], None), "Inference-Header-Content-Length"),
    "header beyond the body": (with_binary(document(), RAW, length=10_000), "Inference-Header-Content-Length"),
    "data twice": (with_binary(document([1] * 6), RAW), "inputs[0].data"),
    "NaN": (with_binary(document(), np.array([0, 1, 2, 3, 4, np.nan], "<f4").tobytes()), "features[1][2]"),
    "infinity": (with_binary(document(), np.array([0, -np.inf, 2, 3, 4, 5], "<f4").tobytes()), "features[0][1]"),
    "beyond float32": (
        with_binary(document(datatype="FP64"), np.array([0, 1, 2, -1e39, 4, 5]).tobytes()),
        "features[1][0]",
    ),
}


@pytest.mark.parametrize(("sent", "field"), BINARY.values(), ids=BINARY.keys())
def test_bad_binary_data_is_a_problem_that_names_the_field(sent: tuple[bytes, int | None], field: str) -> None:
    with pytest.raises(Problem) as caught:
        decode_request(*sent, CARD, MAX_ROWS)
    assert caught.value.status in (400, 422)
    assert caught.value.members["field"] == field


def test_members_that_the_protocol_does_not_know_are_ignored() -> None:
    request = document([1] * 6, model_name="small", id="a", parameters={"sequence_id": 0, "note": "x", "p": 0.5})
    assert decode(request).id == "a"


def test_null_is_as_good_as_nothing() -> None:
    inference = decode(document([1] * 6, id=None, outputs=None, parameters=None))
    assert inference.id is None
    assert list(inference.outputs) == list(OUTPUTS)


def test_the_form_of_outputs_is_chosen_for_all_and_for_each() -> None:
    outputs = [{"name": "prediction"}, {"name": "label", "parameters": {"binary_data": False}}]
    parameters = {"binary_data_output": True}
    assert decode(document([1] * 6, parameters=parameters)).outputs == dict.fromkeys(OUTPUTS, True)
    assert decode(document([1] * 6, parameters=parameters, outputs=outputs)).outputs == {
        "prediction": True,
        "label": False,
    }
    assert decode(document([1] * 6, outputs=outputs)).outputs == {"prediction": False, "label": False}


texts = st.text(max_size=5)
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | texts, lambda inner: st.lists(inner, max_size=4)
)
near_misses = st.fixed_dictionaries(
    {
        "inputs": st.lists(
            st.fixed_dictionaries(
                {"name": st.just("features") | texts, "datatype": st.sampled_from([*DATATYPES, "BOOL"]) | json_values},
                optional={
                    "shape": st.just([1, 3]) | st.lists(st.integers(), max_size=3) | json_values,
                    "data": st.lists(st.floats() | st.integers(), max_size=4) | json_values,
                    "parameters": st.dictionaries(st.sampled_from(["binary_data_size", "x"]), json_values),
                },
            ),
            max_size=2,
        )
        | json_values
    },
    optional={"id": json_values, "outputs": json_values, "parameters": json_values},
)
hostile = st.one_of(
    st.binary(max_size=60),
    near_misses.map(lambda value: json.dumps(value).encode()),
    st.builds(lambda value, tail: json.dumps(value).encode() + tail, near_misses, st.binary(max_size=30)),
)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(hostile, st.none() | st.integers(0, 400))
def test_any_bytes_are_rows_or_a_problem(body: bytes, length: int | None) -> None:
    kind, result = outcome(body, length)
    if kind == "rows":
        assert np.isfinite(np.frombuffer(result, np.float32)).all()
    else:
        assert result in (400, 413, 422)


@pytest.fixture(scope="module")
def predictor(three_class_path: Path) -> Predictor:
    return Predictor(three_class_path.read_bytes())


def read_raw(datatype: str, raw: bytes) -> list[Any]:
    """Return the elements of a tensor."""
    if datatype == "BYTES":
        return unpack(raw)
    elements: list[Any] = np.frombuffer(raw, {"FP32": "<f4", "INT64": "<i8"}[datatype]).tolist()
    return elements


def parse_reply(length: int | None, content: bytes) -> tuple[dict[str, Any], dict[str, tuple[Any, bool]]]:
    """Return the JSON of a reply, and the elements of every output, and whether they came as binary data."""
    reply = json.loads(content[:length])
    tail = content[length:] if length is not None else b""
    outputs: dict[str, tuple[Any, bool]] = {}
    for output in reply["outputs"]:
        assert output["datatype"] == OUTPUTS[output["name"]]
        if "data" in output:
            outputs[output["name"]] = output["data"], False
            continue
        size = output["parameters"]["binary_data_size"]
        raw, tail = tail[:size], tail[size:]
        outputs[output["name"]] = read_raw(output["datatype"], raw), True
    assert not tail
    return reply, outputs


@settings(max_examples=100, derandomize=True, deadline=None)
@given(outputs=st.dictionaries(st.sampled_from(list(OUTPUTS)), st.booleans(), min_size=1), id=st.none() | st.text())
def test_a_reply_reads_back_as_the_answer(outputs: dict[str, bool], id: str | None, predictor: Predictor) -> None:
    rows = random_rows(3, len(FIVE_NAMES), seed=8)
    answer = Answer(predictor, rows)
    length, content = encode_reply(Inference(rows, id, outputs), answer)
    assert (length is not None) == any(outputs.values())
    reply, found = parse_reply(length, content)
    assert (reply["model_name"], reply["model_version"]) == ("three", "3.2.1")
    assert reply.get("id") == id
    assert list(found) == list(outputs)
    for name, (elements, binary) in found.items():
        assert binary == outputs[name]
        assert elements == answer.elements(name)


def test_a_long_reply_is_written_piece_by_piece(predictor: Predictor) -> None:
    rows = random_rows(PIECE_ELEMENTS + 1, len(FIVE_NAMES), seed=9)
    answer = Answer(predictor, rows)
    _, found = parse_reply(*encode_reply(Inference(rows, None, dict.fromkeys(OUTPUTS, False)), answer))
    assert {name: elements for name, (elements, _) in found.items()} == {
        name: answer.elements(name) for name in OUTPUTS
    }
