"""Why a model file cannot become a program: it is malformed, or it needs what the compiled engine does not have."""

from dataclasses import dataclass

from runtime.artifact import ArtifactError


class MalformedGraph(ArtifactError):  # noqa: N818, it says what the file is
    """A file that is no valid ONNX model; the message leads to the fault."""


class Unsupported(Exception):  # noqa: N818
    """Part of a valid node is not supported; the message is the reason. The reader gathers these by node."""


@dataclass(frozen=True, slots=True)
class UnsupportedNode:
    """A part of a graph that the compiled engine cannot run, and why.

    Attributes
    ----------
    name : str
        The node's name, or what stands in its place: its first output, or the part of the graph.
    operator, domain : str
        The operator and its domain, "ai.onnx" for the main one.
    version : int
        Version of the domain's operator set that the graph asks for; 0 where it asks for none.
    reason : str
        What of it is not supported.
    """

    name: str
    operator: str
    domain: str
    version: int
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.operator}, {self.domain} {self.version}): {self.reason}"


class UnsupportedGraph(ArtifactError):  # noqa: N818
    """A valid graph that the compiled engine cannot run; onnxruntime may.

    Attributes
    ----------
    nodes : tuple of UnsupportedNode
        Every part of the graph that is not supported.
    """

    def __init__(self, nodes: tuple[UnsupportedNode, ...]) -> None:
        super().__init__("not supported by the compiled engine: " + "; ".join(map(str, nodes)))
        self.nodes = nodes
