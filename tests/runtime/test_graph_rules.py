"""Graphs: plain operators of ONNX with their data in the file are let through, and nothing else is."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from runtime import graph_rules
from runtime.artifact import ArtifactError, check_seal, read_sealed, seal
from runtime.graph_rules import MAX_NODES, RANDOM, check_graph, check_sealed_graph
from runtime.predictor import Predictor
from tests.runtime.compiled.graphs import model


def plain() -> onnx.ModelProto:
    """Return a graph that is let through: two steps, a constant in an attribute, one among the weights."""
    constant = numpy_helper.from_array(np.ones(2, np.float32), "one")
    nodes = [
        helper.make_node("Constant", [], ["one"], value=constant),
        helper.make_node("Add", ["features", "one"], ["sum"]),
        helper.make_node("Mul", ["sum", "weight"], ["probabilities"]),
    ]
    return model(nodes, 2, constants={"weight": np.ones(2, np.float32)})


def outside(tensor: TensorProto) -> None:
    """Move the data of a tensor into another file, as onnx does."""
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")


def branch(proto: onnx.ModelProto) -> None:
    proto.graph.node.append(
        helper.make_node("If", ["yes"], ["no"], then_branch=proto.graph, else_branch=plain().graph, name="choose")
    )


def hidden_graph(proto: onnx.ModelProto) -> None:
    """Give an operator a graph whose attribute says that it is a number."""
    proto.graph.node[1].attribute.append(helper.make_attribute("body", plain().graph))
    proto.graph.node[1].attribute[-1].type = onnx.AttributeProto.INT


def own_function(proto: onnx.ModelProto) -> None:
    function = helper.make_function("own", "Twice", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])], [])
    proto.functions.append(function)


def in_attribute(proto: onnx.ModelProto) -> None:
    outside(proto.graph.node[0].attribute[0].t)


def in_list(proto: onnx.ModelProto) -> None:
    attribute = helper.make_attribute("tensors", [numpy_helper.from_array(np.ones(2, np.float32), "deep")])
    proto.graph.node[0].attribute.append(attribute)
    outside(attribute.tensors[0])
    proto.graph.node[0].attribute[-1].CopyFrom(attribute)


def in_sparse(proto: onnx.ModelProto) -> None:
    sparse = proto.graph.sparse_initializer.add()
    sparse.values.name = "thin"
    outside(sparse.values)


def in_sparse_attribute(proto: onnx.ModelProto) -> None:
    attribute = proto.graph.node[0].attribute.add(name="sparse", type=onnx.AttributeProto.SPARSE_TENSOR)
    outside(attribute.sparse_tensor.indices)


def location_alone(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")


def many_nodes(proto: onnx.ModelProto) -> None:
    proto.graph.node.extend(helper.make_node("Neg", ["features"], [f"n{index}"]) for index in range(MAX_NODES))


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (branch, r"node\[3\] \(If\): expected no loops and no branches"),
        (hidden_graph, r"node\[1\] \(Add\): expected no loops and no branches"),
        (lambda proto: setattr(proto.graph.node[1], "domain", "com.microsoft"), "operator of ai.onnx or .*microsoft"),
        (own_function, "got functions of the model's own"),
        (lambda proto: proto.training_info.add(), "got training_info"),
        (lambda proto: outside(proto.graph.initializer[0]), "in the file itself, weight lies outside"),
        (location_alone, "in the file itself, weight lies outside"),
        (in_attribute, "in the file itself, one lies outside"),
        (in_list, "in the file itself, deep lies outside"),
        (in_sparse, "in the file itself, thin lies outside"),
        (in_sparse_attribute, r"in the file itself, .*sparse_tensor\[0\].indices\[0\] lies outside"),
        (many_nodes, f"expected at most {MAX_NODES} nodes, got {MAX_NODES + 3}"),
        (lambda proto: proto.ClearField("graph"), "graph: expected one, got none"),
    ],
)  # fmt: skip
def test_a_graph_that_is_no_plain_onnx_is_refused(break_it: Callable[[onnx.ModelProto], object], message: str) -> None:
    proto = plain()
    check_graph(proto.SerializeToString())
    break_it(proto)
    with pytest.raises(ArtifactError, match=message):
        check_graph(proto.SerializeToString())


@pytest.mark.parametrize("operator", sorted(RANDOM))
def test_random_operators_are_onnx_operators_and_refused(operator: str) -> None:
    assert onnx.defs.get_schema(operator).domain == ""
    proto = plain()
    proto.graph.node[1].op_type = operator
    with pytest.raises(ArtifactError, match=rf"\({operator}\): expected an operator that answers the same twice"):
        check_graph(proto.SerializeToString())


@pytest.mark.parametrize("operator", ["If", "Loop", "Scan", "SequenceMap"])
def test_every_operator_that_runs_a_graph_takes_it_as_an_attribute(operator: str) -> None:
    kinds = {attribute.type for attribute in onnx.defs.get_schema(operator).attributes.values()}
    assert onnx.defs.OpSchema.AttrType.GRAPH in kinds
    schemas = onnx.defs.get_all_schemas()
    with_graphs = {
        schema.name
        for schema in schemas
        if any(attribute.type == onnx.defs.OpSchema.AttrType.GRAPH for attribute in schema.attributes.values())
    }
    assert operator in with_graphs
    assert not {schema.name for schema in schemas if "Random" in schema.name} - RANDOM


def test_a_sealed_file_is_refused_before_onnxruntime_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(content: bytes, threads: int) -> None:
        raise AssertionError("onnxruntime was asked")

    monkeypatch.setattr("runtime.predictor.OnnxruntimeEngine", never)
    proto = plain()
    outside(proto.graph.initializer[0])
    with pytest.raises(ArtifactError, match="weight lies outside"):
        Predictor(seal(proto.SerializeToString()))


def test_bytes_that_have_passed_last_are_not_checked_again_and_all_others_are(
    forest_path: Path, boosting_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[bytes] = []
    monkeypatch.setattr(graph_rules, "_passed", "")
    monkeypatch.setattr(graph_rules, "check_graph", checked.append)
    forest, boosting = (read_sealed(path) for path in (forest_path, boosting_path))
    for content, sha256 in (forest, forest, boosting, forest):
        check_sealed_graph(content, sha256)
    assert checked == [forest[0], boosting[0], forest[0]]


def test_a_graph_that_was_refused_is_refused_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_rules, "_passed", "")
    proto = plain()
    outside(proto.graph.initializer[0])
    content = seal(proto.SerializeToString())
    for _ in range(2):
        with pytest.raises(ArtifactError, match="weight lies outside"):
            check_sealed_graph(content, check_seal(content))


def test_every_model_of_these_tests_keeps_the_rules(
    forest_path: Path, three_class_path: Path, boosting_path: Path, naive_bayes_path: Path
) -> None:
    for path in (forest_path, three_class_path, boosting_path, naive_bayes_path):
        check_graph(path.read_bytes())


def test_bytes_that_are_no_model_end_in_an_error_that_names_the_place() -> None:
    content = plain().SerializeToString()
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(2000):
        changed = bytearray(content)
        for position in generator.integers(0, len(content), 3):
            changed[position] = generator.integers(256)
        try:
            check_graph(bytes(changed))
        except ArtifactError as error:
            refused += str(error).startswith(("model", "graph"))
    assert refused > 500


PICKLES = """
import sys
opened = []
sys.addaudithook(lambda event, arguments: opened.append(arguments) if event == "pickle.find_class" else None)
import io, pickle
from pathlib import Path
import numpy as np
from runtime.batch_arrays import NpyBatch
from runtime.model import load_model
from runtime.problems import Problem
import runtime.application, runtime.server
pickle.loads(pickle.dumps(Path("seen")))
assert opened.pop()[1]  # the hook works
opened.clear()
load_model(Path(sys.argv[1]), 1)
file = io.BytesIO()
np.save(file, np.array([[Path("x")] * 22], object), allow_pickle=True)
try:
    NpyBatch(22, 10).feed(file.getvalue())
except Problem as problem:
    assert problem.status == 422, problem
else:
    raise AssertionError("an array of objects was read")
assert not opened, opened
"""


def test_the_server_opens_no_pickle(forest_path: Path) -> None:
    subprocess.run([sys.executable, "-c", PICKLES, forest_path], check=True, env=os.environ)
