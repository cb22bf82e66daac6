"""Long tensors: cut out and read by kernels to what the decoder reads, or left to it."""

import json
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import long_tensor
from runtime.artifact import ModelCard
from runtime.codec import CODEC
from runtime.inference_json import PIECE_BYTES, decode_request
from runtime.problems import Problem

CARD = ModelCard(
    name="small", version="7", feature_names=("a", "b", "c"), labels=("no", "yes"), created="2026-01-01T00:00:00Z"
)
ROWS = 4000
VALUES = np.random.default_rng(0).normal(0, 1000, (ROWS, 3))
SHAPE = (ROWS, 3)


def request(data: str, before: str = "", behind: str = "", outside: str = "", shape: object = SHAPE) -> bytes:
    """Return a request with its members in the usual order or another one."""
    tensor = f'{{{before}"name": "features", "shape": {json.dumps(shape)}, "datatype": "FP32", "data": {data}{behind}}}'
    return f'{{{outside}"inputs": [{tensor}], "id": "7"}}'.encode()


NESTED = json.dumps(VALUES.tolist())
FLAT = json.dumps(VALUES.ravel().tolist(), indent=1)


@pytest.mark.parametrize("data", [NESTED, FLAT])
@pytest.mark.parametrize(
    "around",
    [
        {},
        {"before": '"parameters": {"a": "]}"}, '},
        {"behind": ', "more": [[{"data": [1]}], "\\""]'},
        {"outside": '"parameters": {"inputs": "x"}, "outputs": [], '},
        {"outside": "\r\n\t "},
    ],
)
def test_plain_data_is_read_by_the_kernels(data: str, around: dict[str, str]) -> None:
    body = request(data, **around)
    tensor = long_tensor.find(body)
    assert CODEC is not None
    assert tensor is not None
    assert len(tensor.around) < 400
    assert json.loads(tensor.around)["inputs"][0]["data"] == 0
    expected = VALUES.astype(np.float32)
    assert tensor.elements(b"", "FP32", SHAPE).tobytes() == expected.tobytes()
    assert decode_request(body, None, CARD, ROWS).rows.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "body",
    [
        request(NESTED, behind=', "data": [1]'),
        request(NESTED).replace(b"}], ", b"}, {}], "),
        request(NESTED).replace(b'"id"', b'"inputs": [], "id"'),
        request(NESTED)[:-1],
        request(NESTED) + b"x",
        b"[" * 100_000,
        b" " * 100_000,
        b'{"inputs": []}' + b" " * 100_000,
        b"",
    ],
)
def test_an_unusual_form_is_left_to_the_decoder(body: bytes) -> None:
    assert long_tensor.find(body) is None


def test_an_escaped_name_is_a_name() -> None:
    body = request(NESTED).replace(b'"data"', b'"\\u0064ata"')
    assert long_tensor.find(body) is not None
    assert decode_request(body, None, CARD, ROWS).rows.tobytes() == VALUES.astype(np.float32).tobytes()


EDGES = [
    "NaN",
    "1e39",
    "null",
    "[1]",
    "1e-50",
    "3.4028235677973366e38",
    "-0.0",
    "1",
    "01",
    "+1",
    "0x1",
    '"1"',
    "{}",
    "",
]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(place=st.integers(0, ROWS * 3 - 1), value=st.sampled_from(EDGES), nested=st.booleans(), more=st.integers(-1, 1))
def test_what_is_not_plain_is_judged_as_in_a_short_request(place: int, value: str, nested: bool, more: int) -> None:
    texts = [repr(number) for number in chain.from_iterable(VALUES.tolist())]
    texts[place] = value
    rows = [f"[{','.join(texts[start : start + 3])}]" for start in range(0, len(texts), 3)]
    body = request("[" + ",".join(rows if nested else texts) + "]", shape=(ROWS + more, 3))
    assert len(body) > PIECE_BYTES

    def outcome(find: object) -> tuple[str, object]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(long_tensor, "find", find)
            try:
                return "rows", decode_request(body, None, CARD, 2 * ROWS).rows.tobytes()
            except Problem as problem:
                return str(problem), problem.status

    assert outcome(long_tensor.find) == outcome(lambda body: None)
