"""From a model file to a program: which nodes the probabilities depend on, and what each of them becomes."""

from runtime.compiled import glue, linear_models, tree_ensembles
from runtime.compiled.errors import MalformedGraph, Unsupported, UnsupportedGraph, UnsupportedNode
from runtime.compiled.graph import FLOAT, MAIN_DOMAIN, Graph, Model, Node, ValueInfo, read_model
from runtime.compiled.operation import Handler, Operation, Steps, Value
from runtime.compiled.program import MAX_COLUMNS, Program, Register
from runtime.engine import FEATURES, PROBABILITIES

HANDLERS: dict[tuple[str, str], Handler] = {**glue.HANDLERS, **linear_models.HANDLERS, **tree_ensembles.HANDLERS}
"""Domain and operator -> what turns such a node into steps."""

VERSIONS = {MAIN_DOMAIN: range(7, 26), "ai.onnx.ml": range(1, 6)}
"""Domain -> the versions of its operator set whose operators mean what the handlers take them to mean."""


def read_program(content: bytes) -> Program:
    """Read what a model file computes.

    Parameters
    ----------
    content : bytes
        A serialized ONNX model with one input `features`, float32 (rows, n), and an output `probabilities`, float32
        (rows, classes). Nodes that the probabilities do not depend on are left out.

    Returns
    -------
    Program
        What the compiled engine runs.

    Raises
    ------
    UnsupportedGraph
        The model may be valid, but the compiled engine does not run it; names all nodes for which that is so.
    MalformedGraph
        The file is no valid ONNX model.
    """
    return lower(read_model(content))


def lower(model: Model) -> Program:
    """Turn a graph into a program; see `read_program`."""
    graph, refused = model.graph, []
    if model.functions:
        refused.append(_part("functions", "the model defines operators of its own"))
    if graph.sparse_initializers:
        refused.append(_part("sparse_initializer", "sparse tensors"))
    features, classes = _columns(graph, refused)
    wanted = _wanted(graph)
    steps = Steps(features)
    values: dict[str, Value | None] = {FEATURES: 0}
    for index, outputs in wanted.items():
        node = graph.nodes[index]
        try:
            result = _run(node, model, outputs, values, steps)
        except Unsupported as reason:
            refused.append(_node(node, model, str(reason)))
            result = None
        except ValueError as error:
            raise MalformedGraph(f"{node.path}: {error}") from None
        for output in outputs:
            values[node.outputs[output]] = result
    if refused:
        raise UnsupportedGraph(tuple(refused))
    return _program(steps, values[PROBABILITIES], features, classes)


def _run(node: Node, model: Model, outputs: set[int], values: dict[str, Value | None], steps: Steps) -> Value | None:
    """Return what the outputs of a node that are wanted stand for, or None where an input is not supported."""
    version = model.opsets.get(node.domain, 0)
    if not version:
        raise MalformedGraph(f"{node.path}: expected an operator set of domain {node.domain}, got none")
    handler = HANDLERS.get((node.domain, node.operator))
    if handler is None:
        raise Unsupported("this operator")
    if version not in VERSIONS[node.domain]:
        raise Unsupported(f"this version of {node.domain}")
    inputs: list[Value | None] = []
    known = True
    for name in node.inputs:
        if name and name not in values:
            values[name] = model.graph.initializers[name].array()
        inputs.append(values[name] if name else None)
        known &= not name or inputs[-1] is not None
    return handler(Operation(node, version, inputs, outputs, steps)) if known else None


def _wanted(graph: Graph) -> dict[int, set[int]]:
    """Return the nodes that the probabilities depend on, in order, each with the indices of its outputs that do.

    All names are checked on the way: every one is given once, and before it is used.
    """
    given: dict[str, tuple[int, int]] = {}
    for index, node in enumerate(graph.nodes):
        for output, name in enumerate(node.outputs):
            if name and (name in given or name in graph.initializers or name == FEATURES):
                raise MalformedGraph(f"{node.path}: expected every name once, got {name} again")
            given[name] = index, output
    wanted: dict[int, set[int]] = {}
    left = [(PROBABILITIES, len(graph.nodes), "outputs")]
    while left:
        name, before, path = left.pop()
        if name == FEATURES or name in graph.initializers:
            continue
        index, output = given.get(name, (len(graph.nodes), 0))
        if index >= before:
            raise MalformedGraph(f"{path}: expected {name} to be given before")
        if index not in wanted:
            node = graph.nodes[index]
            left += [(used, index, node.path) for used in node.inputs if used]
        wanted.setdefault(index, set()).add(output)
    return dict(sorted(wanted.items()))


def _columns(graph: Graph, refused: list[UnsupportedNode]) -> tuple[int, int | None]:
    """Return the columns of the input, and those of the output where the graph says."""
    inputs = [value for value in graph.inputs if value.name not in graph.initializers]
    features = _matrix("input", FEATURES, inputs)
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs if value.name != FEATURES)
        refused.append(_part("input", f"inputs beside {FEATURES}: {names}"))
    if features is None or not 1 <= features <= MAX_COLUMNS:
        raise UnsupportedGraph((*refused, _part(FEATURES, f"{features or 'any number of'} columns")))
    return features, _matrix("output", PROBABILITIES, list(graph.outputs))


def _matrix(kind: str, name: str, values: list[ValueInfo]) -> int | None:
    """Return the columns of a float32 matrix, None where they are open."""
    found = [value for value in values if value.name == name]
    if len(found) != 1:
        names = ", ".join(value.name for value in values) or "none"
        raise UnsupportedGraph((_part(kind, f"expected {name}, got {names}"),))
    (value,) = found
    if value.elements != FLOAT or value.shape is None or len(value.shape) != 2:
        raise UnsupportedGraph((_part(name, "it is no float32 matrix"),))
    return value.shape[1]


def _program(steps: Steps, result: Value | None, features: int, classes: int | None) -> Program:
    """Return the program whose result is the last register."""
    if not isinstance(result, int):
        raise UnsupportedGraph((_part(PROBABILITIES, "it is a constant"),))
    found = steps.registers[result]
    if found.double or (classes is not None and found != Register(classes)):
        raise MalformedGraph(f"model.graph[0].output: expected {found}, got {classes} columns of float32")
    try:
        return Program(features, found.columns, tuple(steps.steps))
    except ValueError as error:
        raise MalformedGraph(f"model.graph[0]: {error}") from None


def _node(node: Node, model: Model, reason: str) -> UnsupportedNode:
    name = node.name or next(filter(None, node.outputs), "")
    return UnsupportedNode(name, node.operator, node.domain, model.opsets.get(node.domain, 0), reason)


def _part(name: str, reason: str) -> UnsupportedNode:
    return UnsupportedNode(name, "graph", MAIN_DOMAIN, 0, reason)
