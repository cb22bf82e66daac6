"""What the graph of a model file may hold: plain operators of ONNX with all their data in the file.

The rules are read from the file by our own strict reader, before onnxruntime sees a byte of it. They leave no way to
run forever (loops, branches), to run what is not ONNX (operators of other domains, functions) or to read other files.
"""

from collections.abc import Iterator

from runtime.artifact import ArtifactError
from runtime.compiled.graph import MAIN_DOMAIN
from runtime.compiled.protobuf import Message

DOMAINS = (MAIN_DOMAIN, "ai.onnx.ml")
"""Domains whose operators a graph may have."""

RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
"""Operators that answer the same row in different ways."""

MAX_NODES = 10_000
"""Most operators in a graph."""

_SUBGRAPHS = (6, 11)  # AttributeProto.g and .graphs

_passed = ""
"""The seal of the file that has passed last in this process."""


def check_sealed_graph(content: bytes, seal: str) -> None:
    """Do `check_graph`, but not again for the bytes that have passed last: a start needs them checked twice.

    Parameters
    ----------
    content : bytes
        A whole model file.
    seal : str
        Its SHA-256 as `check_seal` has just found it, which no other bytes have.

    Raises
    ------
    ArtifactError
        As `check_graph` does.
    """
    global _passed
    if seal != _passed:
        check_graph(content)
        _passed = seal


def check_graph(content: bytes) -> None:
    """Refuse a model whose graph holds what no classifier needs.

    Parameters
    ----------
    content : bytes
        A serialized ONNX model.

    Raises
    ------
    ArtifactError
        Where the file is no ONNX model, or its graph is too large, has a node of another domain, a random one or one
        with graphs inside, or has data in another file; the message leads to the place.
    """
    model = Message(content, 0, len(content), "model")
    if model.has(25):
        raise ArtifactError("graph: expected operators of ONNX alone, got functions of the model's own")
    if model.has(20):
        raise ArtifactError("graph: expected one to predict with, got training_info")
    graph = model.message(7, "graph")
    if graph is None:
        raise ArtifactError("graph: expected one, got none")
    nodes = graph.messages(1, "node")
    if len(nodes) > MAX_NODES:
        raise ArtifactError(f"graph: expected at most {MAX_NODES} nodes, got {len(nodes)}")
    for node in nodes:
        _check_node(node)
    for tensor in _tensors(graph, plain=(5, "initializer"), sparse=(15, "sparse_initializer")):
        _check_tensor(tensor)


def _check_node(node: Message) -> None:
    operator, domain = node.text(4, "op_type"), node.text(7, "domain") or MAIN_DOMAIN
    where = f"{node.path} ({operator})"
    if domain not in DOMAINS:
        raise ArtifactError(f"{where}: expected an operator of {' or '.join(DOMAINS)}, got one of {domain}")
    if domain == MAIN_DOMAIN and operator in RANDOM:
        raise ArtifactError(f"{where}: expected an operator that answers the same twice, got a random one")
    for attribute in node.messages(5, "attribute"):
        if any(map(attribute.has, _SUBGRAPHS)):
            raise ArtifactError(f"{where}: expected no loops and no branches, got a graph inside a node")
        for plain, sparse in ((5, "t"), (22, "sparse_tensor")), ((10, "tensors"), (23, "sparse_tensors")):
            for tensor in _tensors(attribute, plain=plain, sparse=sparse):
                _check_tensor(tensor)


def _tensors(message: Message, *, plain: tuple[int, str], sparse: tuple[int, str]) -> Iterator[Message]:
    """Yield the tensors of two fields of a message; a sparse one has two, its values and their indices."""
    yield from message.messages(*plain)
    for tensor in message.messages(*sparse):
        yield from tensor.messages(1, "values")
        yield from tensor.messages(2, "indices")


def _check_tensor(tensor: Message) -> None:
    if tensor.integer(14, "data_location") or tensor.has(13):
        name = tensor.text(8, "name") or tensor.path
        raise ArtifactError(f"graph: expected every weight in the file itself, {name} lies outside")
