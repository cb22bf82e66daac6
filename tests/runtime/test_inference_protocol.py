"""The protocol's tensors: what fits a model, and what is said of what does not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from runtime.artifact import ModelCard
from runtime.inference_protocol import (
    DATATYPES,
    OUTPUTS,
    Answer,
    InputTensor,
    check_inputs,
    check_model,
    check_parameters,
    describe_model,
    describe_server,
    select_outputs,
)
from runtime.predictor import Predictor
from runtime.problems import Problem
from tests.runtime.conftest import FIVE_NAMES, THREE_CLASSES, random_rows

CARD = ModelCard(
    name="small", version="7", feature_names=("a", "b", "c"), labels=("no", "yes"), created="2026-01-01T00:00:00Z"
)


@pytest.fixture(scope="module")
def predictor(three_class_path: Path) -> Predictor:
    return Predictor(three_class_path.read_bytes())


def tensor(datatype: str = "FP32", shape: tuple[int, ...] = (2, 3), name: str = "features") -> InputTensor:
    return InputTensor(name, datatype, shape)


def test_metadata_names_the_tensors_of_the_model() -> None:
    model = describe_model(CARD)
    assert (model.name, tuple(model.versions), model.platform) == ("small", ("7",), "onnx_onnxv1")
    assert [(entry.name, entry.datatype, tuple(entry.shape)) for entry in (*model.inputs, *model.outputs)] == [
        ("features", "FP32", (-1, 3)),
        ("probabilities", "FP32", (-1, 2)),
        ("label", "BYTES", (-1,)),
        ("prediction", "INT64", (-1,)),
    ]
    assert describe_server().name == "tickline"
    assert list(describe_server().extensions) == ["binary_tensor_data"]


@pytest.mark.parametrize("version", ["", "7"])
def test_the_served_model_is_found(version: str) -> None:
    check_model(CARD, "small", version)


@pytest.mark.parametrize(
    ("name", "version", "field"),
    [("large", "7", "model_name"), ("", "", "model_name"), ("small", "8", "model_version")],
)
def test_another_model_is_not_found(name: str, version: str, field: str) -> None:
    with pytest.raises(Problem) as caught:
        check_model(CARD, name, version)
    assert (caught.value.status, caught.value.members["field"]) == (404, field)


@pytest.mark.parametrize(
    ("given", "status", "message"),
    [
        (tensor(name="rows"), 422, "inputs[0].name: expected features, got rows"),
        (tensor("FP16"), 422, "inputs[0].datatype: expected one of FP32, FP64, INT32, INT64, got FP16"),
        (tensor("fp32"), 422, "inputs[0].datatype: expected one of FP32, FP64, INT32, INT64, got fp32"),
        (tensor(shape=(3,)), 422, "inputs[0].shape: expected [rows, 3], got [3]; one row has the shape [1, 3]"),
        (tensor(shape=(2, 4)), 422, "inputs[0].shape: expected [rows, 3], got [2, 4]"),
        (tensor(shape=(1, 2, 3)), 422, "inputs[0].shape: expected [rows, 3], got [1, 2, 3]"),
        (tensor(shape=()), 422, "inputs[0].shape: expected [rows, 3], got []"),
        (tensor(shape=(-1, 3)), 422, "inputs[0].shape: expected [rows, 3], got [-1, 3]"),
        (tensor(shape=(0, 3)), 422, "inputs[0].shape: expected at least 1 row, got 0"),
        (tensor(shape=(6, 3)), 413, "inputs[0].shape: expected at most 5 rows, got 6"),
        (tensor(shape=(2**70, 3)), 413, f"inputs[0].shape: expected at most 5 rows, got {2**70}"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused(given: InputTensor, status: int, message: str) -> None:
    with pytest.raises(Problem) as caught:
        given.count_rows(CARD, 5)
    assert (caught.value.status, str(caught.value)) == (status, message)


def test_a_tensor_that_fits_tells_its_rows() -> None:
    assert tensor(shape=(5, 3)).count_rows(CARD, 5) == 5


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize("off", [-1, 1])
def test_raw_bytes_of_another_length_are_refused(datatype: str, off: int) -> None:
    size = 6 * DATATYPES[datatype].itemsize + off
    with pytest.raises(Problem, match=rf"here: expected {size - off} bytes of {datatype} \[2, 3\], got {size}"):
        tensor(datatype).view(memoryview(bytes(size)), "here")


def test_aligned_float32_is_not_copied() -> None:
    given = np.arange(6, dtype=np.float32)
    rows = tensor().rows(tensor().view(given.data.cast("B"), "here"))
    assert np.shares_memory(rows, given)


@pytest.mark.parametrize("offset", [1, 2, 3])
def test_rows_are_aligned_wherever_their_bytes_begin(offset: int) -> None:
    given = np.arange(6, dtype=np.float32)
    rows = tensor().rows(tensor().view(memoryview(bytes(offset) + given.tobytes())[offset:], "here"))
    assert rows.flags.aligned
    assert rows.tobytes() == given.tobytes()


elements = st.one_of(
    *(
        hnp.arrays(DATATYPES[datatype], (2, 3)).map(lambda array, datatype=datatype: (datatype, array))  # type: ignore[misc]
        for datatype in DATATYPES
    )
)


def naive(array: NDArray[Any]) -> list[list[float]] | None:
    """Return the rows, or None where they must be refused."""
    rows = []
    for values in array.tolist():
        row = []
        for value in values:
            with np.errstate(over="ignore"):
                rounded = float(np.float64(value).astype(np.float32)) if isinstance(value, float) else float(value)
            if not np.isfinite(rounded):
                return None
            if isinstance(value, int) and int(np.float32(rounded)) != value:
                return None
            row.append(rounded)
        rows.append(row)
    return rows


@settings(max_examples=400, derandomize=True, deadline=None)
@given(elements)
def test_elements_become_rows_as_the_twin_says(given: tuple[str, NDArray[Any]]) -> None:
    datatype, array = given
    expected = naive(array)
    if expected is None:
        with pytest.raises(Problem, match=r"features\[[01]\]\[[012]\]: expected ") as caught:
            tensor(datatype).rows(array.ravel())
        assert caught.value.status == 422
    else:
        rows = tensor(datatype).rows(array.ravel())
        assert rows.dtype == np.float32
        assert rows.tobytes() == np.array(expected, np.float32).tobytes()


@pytest.mark.parametrize("value", [2**63 - 1, 2**24 + 1, -(2**24) - 1, 2**62 + 1])
def test_an_integer_between_floats_is_refused(value: int) -> None:
    with pytest.raises(Problem, match=rf"features\[1\]\[2\]: .*, got {value}$"):
        tensor("INT64").rows(np.array([0, 0, 0, 0, 0, value]))


@pytest.mark.parametrize("value", [-(2**63), 2**62, 2**24, -(2**24) - 2])
def test_an_integer_that_float32_has_is_taken(value: int) -> None:
    assert tensor("INT64").rows(np.array([0, 0, 0, 0, 0, value]))[1, 2] == value


def test_outputs_are_all_in_order_unless_some_are_named() -> None:
    assert select_outputs([], True) == dict.fromkeys(OUTPUTS, True)
    assert list(select_outputs([], False)) == ["probabilities", "label", "prediction"]
    assert list(select_outputs([("label", True), ("probabilities", False)], False).items()) == [
        ("label", True),
        ("probabilities", False),
    ]


@pytest.mark.parametrize(("names", "said"), [(["label", "proba"], "got proba"), (["label", "label"], "label again")])
def test_unknown_and_repeated_outputs_are_refused(names: list[str], said: str) -> None:
    with pytest.raises(Problem, match=rf"outputs\[1\]\.name: expected .*{said}"):
        select_outputs([(name, False) for name in names], False)


@pytest.mark.parametrize("count", [0, 2])
def test_one_input_is_expected(count: int) -> None:
    with pytest.raises(Problem, match=f"inputs: expected 1 tensor, features, got {count}"):
        check_inputs(count)


def test_parameters_of_foreign_extensions_are_refused() -> None:
    check_parameters(["binary_data", "anything"], "outputs[0].parameters")
    with pytest.raises(Problem, match=r"outputs\[0\]\.parameters\.classification: "):
        check_parameters(["classification"], "outputs[0].parameters")


def test_an_answer_agrees_with_itself_in_every_form(predictor: Predictor) -> None:
    rows = random_rows(300, len(FIVE_NAMES), seed=3)
    answer = Answer(predictor, rows)
    assert answer.shape("probabilities") == (300, 3)
    assert answer.shape("label") == answer.shape("prediction") == (300,)
    assert answer.raw("probabilities") == predictor.predict(rows).tobytes()
    assert np.array(answer.elements("probabilities"), np.float32).tobytes() == answer.raw("probabilities")
    assert np.frombuffer(answer.raw("prediction"), "<i8").tolist() == answer.elements("prediction")
    assert answer.elements("label") == [THREE_CLASSES[index] for index in answer.elements("prediction")]
    assert unpack(answer.raw("label")) == answer.elements("label")
    assert answer.counts() == [answer.elements("prediction").count(index) for index in range(3)]
    assert len(set(answer.elements("label"))) == 3


def unpack(raw: bytes) -> list[str]:
    """Return the texts of a tensor of BYTES."""
    texts = []
    while raw:
        end = 4 + int.from_bytes(raw[:4], "little")
        texts.append(raw[4:end].decode())
        raw = raw[end:]
    return texts


def test_a_model_whose_answer_is_not_finite_is_a_problem(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor, "predict", lambda rows: np.full((len(rows), 3), np.nan, np.float32))
    with pytest.raises(Problem, match="not finite"):
        Answer(predictor, random_rows(1, 5, seed=0))
