"""Golden rows run again: what an engine must show before it serves."""

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime.artifact import ArtifactError, Certificate, Comparison, ModelCard, compare, golden_rows
from runtime.engine import CHUNK_ROWS, Engine

AGREEMENT = 1e-6
"""How far a probability may be from onnxruntime's, beyond what onnxruntime itself is from scikit-learn's.

onnxruntime adds up trees in float32: a forest of 100 is off by 1e-7 and one of 1,000 by 7e-6, and an engine that adds
in float64 must not be refused for it.
"""


class Agreement(msgspec.Struct, frozen=True):
    """The golden rows by an engine and by the reference beside it.

    Attributes
    ----------
    reference : str
        The engine compared with, and its version.
    allowed : float
        `AGREEMENT`.
    found : Comparison
        How far the two are apart.
    replay : Comparison
        How far the reference itself is from the certificate.
    """

    reference: str
    allowed: float
    found: Comparison
    replay: Comparison


_PADDINGS = (1, 2)
_COMPANIES = (2, 3, 17, 64, CHUNK_ROWS)


@dataclass(frozen=True, slots=True)
class Golden:
    """Golden rows, float32 (n, features), scikit-learn's probabilities, float64 (n, classes), and what may differ."""

    rows: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    tolerance: float


def read_golden(card: ModelCard, certificate: Certificate) -> Golden:
    """Return the golden rows of a certificate; raises ArtifactError where they do not fit the card."""
    return Golden(*golden_rows(card, certificate), certificate.tolerance)


def in_batches(engine: Engine, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities, float32 (n, classes), of rows, float32 (n, features), chunk by chunk."""
    return np.concatenate(
        [engine.predict(rows[start : start + CHUNK_ROWS]) for start in range(0, len(rows), CHUNK_ROWS)]
    )


def row_by_row(engine: Engine, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities, float32 (n, classes), of rows, float32 (n, features), one at a time."""
    probabilities = np.empty((len(rows), engine.classes), np.float32)
    for row, answer in zip(rows, probabilities, strict=True):
        engine.row[0] = row
        answer[:] = engine.predict_one()
    return probabilities


_WAYS = (("in a batch", in_batches), ("row by row", row_by_row))


def settle(engine: Engine, rows: NDArray[np.float32]) -> bool:
    """Find how few rows an engine must run at once for the same row to give the same bits in any company.

    Returns
    -------
    bool
        Whether there is such a number, and the engine is bound to it. Where none does, the engine runs a single row
        alone, and rows must never be put together for speed.
    """
    for padding in _PADDINGS:
        engine.bind(padding)
        single = row_by_row(engine, rows)
        if all(
            engine.predict(rows[start : start + size]).tobytes() == single[start : start + size].tobytes()
            for size in _COMPANIES
            for start in range(0, len(rows), size)
        ):
            return True
    engine.bind(1)
    return False


def replay(engine: Engine, golden: Golden) -> Comparison:
    """Compare an engine with scikit-learn's own answers, in batches and row by row.

    Raises
    ------
    ArtifactError
        Where a probability differs by more than the certificate allows.
    """
    for way, run in _WAYS:
        found = compare(run(engine, golden.rows), golden.probabilities)
        if not found.max_probability_difference <= golden.tolerance:
            raise ArtifactError(
                f"certificate: predicted {way}, a golden probability is off by "
                f"{found.max_probability_difference:.3g}; allowed are {golden.tolerance:.3g}"
            )
    return found


def agree(engine: Engine, reference: Engine, golden: Golden) -> Comparison:
    """Compare an engine with a reference that has been replayed, in batches and row by row.

    Raises
    ------
    ArtifactError
        Where a label differs, or a probability by more than `AGREEMENT` allows.
    """
    for way, run in _WAYS:
        theirs = run(reference, golden.rows)
        ours = run(engine, golden.rows)
        found = compare(ours, theirs)
        allowed = AGREEMENT + np.abs(theirs - golden.probabilities)
        if found.label_flips or not (np.abs(ours.astype(np.float64) - theirs) <= allowed).all():
            raise ArtifactError(
                f"predicted {way}, {found.label_flips} labels of {found.rows} golden rows are not {reference.name}'s "
                f"and a probability is {found.max_probability_difference:.3g} from it; allowed are {AGREEMENT:g}"
            )
    return found
