"""A model read from its bytes says what the onnx package wrote; any other bytes end in one of two errors."""

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from runtime.compiled.errors import MalformedGraph, Unsupported, UnsupportedGraph
from runtime.compiled.graph import read_model
from runtime.compiled.lowering import read_program
from tests.runtime.compiled.graphs import MODES, model, random_ensemble, version_5
from tests.runtime.compiled.interpreter import run


def small_model() -> onnx.ModelProto:
    """Return a model with a constant, attributes of all kinds, and metadata."""
    tensor = onnx.numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3))
    node = helper.make_node(
        *("Unknown", ["features", "", "constant"], ["probabilities"]),
        name="first",
        domain="of.others",
        a=1.5,
        b=-7,
        c="text",
        d=tensor,
        e=[0.5, 1.5],
        f=[1, -2],
        g=["x", "y", "x"],
    )
    proto = model([node], 3, constants={"constant": np.array([1, 2], np.int64)}, columns=2)
    helper.set_model_props(proto, {"key": "value", "other": ""})
    return proto


def test_a_model_is_read_with_all_its_parts() -> None:
    read = read_model(small_model().SerializeToString())
    assert read.metadata == {"key": "value", "other": ""}
    assert read.opsets == {"ai.onnx": 21, "ai.onnx.ml": 3}
    assert not read.functions
    (node,) = read.graph.nodes
    assert (node.name, node.operator, node.domain) == ("first", "Unknown", "of.others")
    assert (node.inputs, node.outputs) == (("features", "", "constant"), ("probabilities",))
    values = node.attributes
    assert values["a"].floating() == 1.5
    assert values["b"].integer() == -7
    assert values["c"].text() == "text"
    assert values["d"].tensor().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert values["e"].floats().tolist() == [0.5, 1.5]
    assert values["f"].integers().tolist() == [1, -2]
    assert values["g"].texts() == ["x", "y", "x"]
    assert read.graph.initializers["constant"].array().tolist() == [1, 2]
    assert [(value.name, value.shape) for value in read.graph.inputs] == [("features", (None, 3))]
    assert [(value.name, value.shape) for value in read.graph.outputs] == [("probabilities", (None, 2))]


def test_attributes_of_another_type_are_refused() -> None:
    (node,) = read_model(small_model().SerializeToString()).graph.nodes
    with pytest.raises(
        MalformedGraph, match=r"model\.graph\[0\]\.node\[0\] .*attribute\[0\] \(a\): expected ints, got a"
    ):
        node.attributes["a"].integers()


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32, np.uint8])
def test_tensors_are_read_in_both_forms(dtype: type[np.generic], raw: bool) -> None:
    array = np.array([[3, 0, 7], [1, 2, 255]]).astype(dtype)
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    values: Any = array.tobytes() if raw else array.ravel().tolist()
    tensor = helper.make_tensor("t", kind, array.shape, values, raw=raw)
    proto = small_model()
    proto.graph.initializer.append(tensor)
    found = read_model(proto.SerializeToString()).graph.initializers["t"].array()
    assert found.dtype == dtype
    assert np.array_equal(found, array)


def tensor(**fields: Any) -> TensorProto:
    """Return a tensor, whether its fields fit each other or not."""
    return TensorProto(name="t", **fields)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (tensor(data_type=1, dims=[3], float_data=[1.0]), "expected values for dimensions .3., got 1"),
        (tensor(data_type=1, dims=[2**62, 2**62], float_data=[1.0]), "expected values for dimensions"),
        (tensor(data_type=1, dims=[-1], float_data=[1.0]), "expected values for dimensions"),
        (tensor(data_type=1, dims=[1] * 9, float_data=[1.0]), "expected values for dimensions"),
        (tensor(data_type=1, dims=[1], raw_data=b"abc"), "raw_data: expected a multiple of 4 bytes, got 3"),
        (tensor(data_type=7, dims=[1], float_data=[1.0]), "expected values for dimensions .1., got 0"),
    ],
)
def test_tensors_whose_values_do_not_fit_are_malformed(broken: TensorProto, reason: str) -> None:
    proto = small_model()
    proto.graph.initializer.append(broken)
    read = read_model(proto.SerializeToString()).graph.initializers["t"]
    with pytest.raises(MalformedGraph, match=reason):
        read.array()


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (tensor(data_type=1, dims=[1], data_location=1), "in another file"),
        (tensor(data_type=1, external_data=[onnx.StringStringEntryProto(key="location", value="x")]), "another file"),
        (tensor(data_type=8, string_data=[b"x"]), "data type of tensor t is 8"),
        (tensor(data_type=1, segment=TensorProto.Segment(begin=0, end=1)), "segment"),
    ],
)
def test_tensors_of_other_kinds_are_not_supported(other: TensorProto, reason: str) -> None:
    proto = small_model()
    proto.graph.initializer.append(other)
    read = read_model(proto.SerializeToString()).graph.initializers["t"]
    with pytest.raises(Unsupported, match=reason):
        read.array()


def twice(field: str) -> Callable[[onnx.ModelProto], None]:
    """Return what repeats the first entry of a repeated field."""

    def change(proto: onnx.ModelProto) -> None:
        entries: Any = proto
        for part in field.split("."):
            entries = getattr(entries[0] if part == "attribute" else entries, part)
        entries.append(entries[0])

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda proto: proto.ClearField("graph"), "model: expected a graph, got none"),
        (twice("opset_import"), r"model\.opset_import\[2\]: domain: expected every domain once, got ai\.onnx again"),
        (twice("metadata_props"), r"model\.metadata_props\[2\]: key: expected every key once, got key again"),
        (twice("graph.initializer"), r"model\.graph\[0\]\.initializer\[1\]: name: expected a name of its own"),
        (twice("graph.node.attribute"), "expected every attribute once, got a again"),
    ],
)
def test_what_occurs_twice_or_not_at_all_is_malformed(change: Callable[[Any], None], reason: str) -> None:
    proto = small_model()
    change(proto)
    with pytest.raises(MalformedGraph, match=reason):
        read_model(proto.SerializeToString())


@cache
def forest_model() -> bytes:
    """Return a model with a scaler, a forest with every mode, a function and a normalizer."""
    rng = np.random.default_rng(0)
    ensemble = random_ensemble(rng, trees=3, depth=4, features=2, votes=lambda rng: [(int(rng.integers(3)), 0.5)])
    assert set(ensemble.modes) == {*MODES, "LEAF"}
    ensemble.missing = [1] * len(ensemble.modes)
    nodes = [
        helper.make_node("Sub", ["features", "offset"], ["shifted"]),
        helper.make_node("Scaler", ["shifted"], ["scaled"], domain="ai.onnx.ml", offset=[0.5], scale=[2.0]),
        helper.make_node(
            *("TreeEnsembleClassifier", ["scaled"], ["label", "scores"]),
            **ensemble.attributes("class"),
            domain="ai.onnx.ml",
            classlabels_strings=["a", "b", "c"],
            post_transform="SOFTMAX",
        ),
        helper.make_node("Normalizer", ["scores"], ["probabilities"], domain="ai.onnx.ml", norm="L1"),
    ]
    proto = model(nodes, 2, constants={"offset": np.array([1, 2], np.float32)}, columns=3)
    helper.set_model_props(proto, {"key": "value"})
    content: bytes = proto.SerializeToString()
    return content


@cache
def version_5_model() -> bytes:
    """Return a model with an ensemble of version 5."""
    content: bytes = version_5(np.random.default_rng(0), 2, 3, 4).SerializeToString()
    return content


@settings(max_examples=1200, deadline=None)
@given(
    base=st.sampled_from([forest_model, version_5_model]),
    seed=st.integers(0, 2**32),
    flips=st.integers(1, 4),
    cut=st.sampled_from(["", "", "", "end", "middle", "double"]),
)
def test_a_file_with_changed_bytes_is_refused_or_runs_within_bounds(
    base: Callable[[], bytes], seed: int, flips: int, cut: str
) -> None:
    choose = random.Random(seed)
    content = bytearray(base())
    for _ in range(flips):
        place = choose.randrange(len(content))
        content[place] = choose.choice([choose.randrange(256), content[place] ^ 1 << choose.randrange(8), 0xFF, 0x80])
    first, last = sorted(choose.randrange(len(content)) for _ in range(2))
    if cut == "end":
        del content[last:]
    elif cut == "middle":
        del content[first:last]
    elif cut == "double":
        content[first:first] = content[first:last]
    try:
        program = read_program(bytes(content))
    except (MalformedGraph, UnsupportedGraph):
        return
    if program.features < 100:
        rows = np.random.default_rng(seed).normal(size=(2, program.features)).astype(np.float32)
        assert run(program, rows).shape == (2, program.classes)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120))
def test_any_bytes_are_refused(content: bytes) -> None:
    with pytest.raises((MalformedGraph, UnsupportedGraph)):
        read_program(content)
