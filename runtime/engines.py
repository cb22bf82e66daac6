"""Which engine runs a model: the compiled one where it proves itself against onnxruntime, else onnxruntime."""

import logging
from dataclasses import dataclass
from typing import cast

from features_fast.errors import TicklineError
from runtime.artifact import ArtifactError, Comparison
from runtime.engine import Engine, name_of
from runtime.onnxruntime_engine import OnnxruntimeEngine
from runtime.replay import AGREEMENT, Agreement, Golden, agree, replay, settle

logger = logging.getLogger("tickline")

AUTO, ONNXRUNTIME, COMPILED = WISHES = ("AUTO", "ONNXRUNTIME", "COMPILED")
"""What the setting `ENGINE` may ask for."""

CHOICES = (
    ("compiled", "proven"),
    ("onnxruntime", "asked"),
    ("onnxruntime", "unsupported"),
    ("onnxruntime", "unavailable"),
    ("onnxruntime", "differs"),
    ("onnxruntime", "failed"),
)
"""Every engine with every reason to run it, as metrics name them; docs/serving.md explains each."""

UNWANTED = ("unavailable", "differs", "failed")
"""Reasons that an operator should look at: the model could be served faster."""


class EngineError(ArtifactError):
    """A model file that the compiled engine cannot run, or must not.

    Parameters
    ----------
    reason : str
        One of the reasons of `CHOICES`.
    detail : str
        Why, in a sentence.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"ENGINE compiled: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Proof:
    """An engine that may serve, and what it showed.

    Attributes
    ----------
    engine : Engine
        The engine, bound to how it gives the same bits in any company, where it does.
    steady : bool
        Whether it does.
    replay : Comparison
        With the certificate's golden probabilities, row by row.
    """

    engine: Engine
    steady: bool
    replay: Comparison


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine that serves, and why it is this one.

    Attributes
    ----------
    served : Proof
        The chosen engine.
    reason : str
        Why, by one of the words of `CHOICES`.
    detail : str
        Why, in a sentence.
    agreement : Agreement or None
        The chosen engine beside onnxruntime on the golden rows, where it is another.
    """

    served: Proof
    reason: str
    detail: str
    agreement: Agreement | None = None

    @property
    def number(self) -> int:
        """Its place in `CHOICES`."""
        return CHOICES.index((self.served.engine.name, self.reason))


def prove(engine: Engine, golden: Golden) -> Proof:
    """Settle an engine and let it replay the certificate; raises ArtifactError where it differs by too much."""
    steady = settle(engine, golden.rows)
    return Proof(engine, steady, replay(engine, golden))


def load_compiled(content: bytes, metadata: dict[str, str], threads: int) -> Engine:
    """Load a model into the compiled engine.

    Parameters
    ----------
    content : bytes
        The model file.
    metadata : dict
        Its metadata properties.
    threads : int
        Threads for large batches.

    Raises
    ------
    EngineError
        Where the graph is not supported, node by node, or no library of kernels fits the machine.
    """
    # Not at the top, so that a server that is told to use onnxruntime loads nothing of this.
    from runtime.compiled.engine import CompiledEngine
    from runtime.compiled.lowering import read_program

    try:
        return cast(Engine, CompiledEngine(read_program(content), metadata, threads))
    except ArtifactError as error:
        raise EngineError("unsupported", str(error)) from None
    except TicklineError as error:
        raise EngineError("unavailable", str(error)) from None
    except Exception as error:  # a defect of ours is no reason for a model not to be served
        logger.exception("the compiled engine failed to load a model")
        raise EngineError("failed", f"{type(error).__name__}: {error}") from error


def prove_compiled(
    content: bytes, reference: OnnxruntimeEngine, golden: Golden, threads: int
) -> tuple[Proof, Agreement]:
    """Load a model into the compiled engine, hold it against the certificate and compare it with onnxruntime.

    Parameters
    ----------
    content : bytes
        The model file.
    reference : OnnxruntimeEngine
        onnxruntime with the same file.
    golden : Golden
        The certificate's golden rows.
    threads : int
        Threads for large batches.

    Raises
    ------
    ArtifactError
        Where onnxruntime itself differs from the certificate by more than that allows.
    EngineError
        Where it cannot run the graph, or gives other answers.
    """
    own = replay(reference, golden)
    engine = load_compiled(content, reference.metadata, threads)
    if (engine.features, engine.classes) != (reference.features, reference.classes):
        raise EngineError(
            "differs",
            f"it reads {engine.features} features and {engine.classes} classes, "
            f"{reference.name} {reference.features} and {reference.classes}",
        )
    try:
        proof = prove(engine, golden)
        found = agree(engine, reference, golden)
    except ArtifactError as error:
        raise EngineError("differs", str(error)) from None
    return proof, Agreement(name_of(reference), AGREEMENT, found, own)


def choose(content: bytes, onnxruntime: OnnxruntimeEngine, golden: Golden, wish: str, threads: int) -> Choice:
    """Choose the engine of a model.

    Parameters
    ----------
    content : bytes
        The model file.
    onnxruntime : OnnxruntimeEngine
        The same file in onnxruntime.
    golden : Golden
        The certificate's golden rows.
    wish : str
        One of `WISHES`.
    threads : int
        Threads of the engine.

    Raises
    ------
    ArtifactError
        Where onnxruntime differs from the certificate by more than that allows.
    EngineError
        Where the compiled engine is asked for and cannot run the graph or gives other answers.
    """
    if wish == ONNXRUNTIME:
        return Choice(prove(onnxruntime, golden), "asked", "ENGINE asks for it")
    try:
        proof, agreement = prove_compiled(content, onnxruntime, golden, threads)
    except EngineError as refusal:
        if wish == COMPILED:
            raise
        return Choice(prove(onnxruntime, golden), refusal.reason, refusal.detail)
    found = agreement.found
    detail = (
        f"{found.rows} golden rows have the labels of {agreement.reference}, and probabilities within "
        f"{found.max_probability_difference:.1e} of its"
    )
    return Choice(proof, "proven", detail, agreement)
