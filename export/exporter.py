"""The export itself: convert, compare with scikit-learn, certify, write, and replay what was written."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from export.defaults import DEFAULT_TOLERANCE
from export.errors import ExportError
from export.golden import GoldenRows, choose_golden_rows, spread
from export.graph import convert
from export.reference import Reference, margins
from features_fast.atomic_file import check_file, write_atomically
from runtime.artifact import (
    ArtifactError,
    Certificate,
    Comparison,
    EngineFinding,
    ModelCard,
    compare,
    metadata,
    parse_metadata,
    read_sealed,
    seal,
)
from runtime.baseline import take_baseline
from runtime.engine import Engine, name_of
from runtime.engines import EngineError, load_compiled
from runtime.onnxruntime_engine import OnnxruntimeEngine
from runtime.replay import in_batches, read_golden, replay

_BACKGROUND_ROWS = 100  # training rows in the file, beside which contributions are told
_LIBRARIES = ("scikit-learn", "numpy", "skl2onnx", "onnx", "onnxruntime")


def export_classifier(
    model: Any,
    path: str | Path,
    *,
    rows: ArrayLike,
    test_rows: ArrayLike,
    name: str,
    version: str,
    feature_names: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    feature_specification: str | None = None,
    training_rows: ArrayLike | None = None,
    training: Mapping[str, Any] | None = None,
    libraries: Mapping[str, str] | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    created: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Certificate:
    """Write a fitted classifier as one ONNX file that carries its own proof.

    The same model and rows give the same bytes, but for `created`. An existing file is replaced only after the
    comparison passed and the new file, read back, gave the golden probabilities again.

    Parameters
    ----------
    model : classifier or Pipeline
        Any fitted classifier of scikit-learn with `predict_proba`, or a pipeline that ends in one.
    path : str or Path
        The file to write.
    rows : (n, features) array_like
        Representative finite rows, of which golden rows are made; rounded to float32, as a server rounds its input.
    test_rows : (m, features) array_like
        Finite rows, oldest first, over all of which graph and model are compared; rounded to float32.
    name, version : str
        What the model is called, and which one it is.
    feature_names : sequence of str, optional
        The columns in order; by default the names that the model was fitted with, else f0, f1, ...
    labels : sequence of str, optional
        The classes in the order of `model.classes_`; by default these as text.
    feature_specification : str, optional
        Hash of the definitions of the features, where they are Tickline's own.
    training_rows : (k, features) array_like, optional
        Finite rows, oldest first, whose distribution later rows are compared with; by default `rows`. As many as
        100 of them go into the file, for contributions.
    training : mapping, optional
        Facts of the training run, anything that JSON can say.
    libraries : mapping, optional
        Versions of libraries that the model was trained with; those used here are added.
    tolerance : float, optional
        Largest absolute difference of a probability that passes, between 0 and 0.5.
    created : str, optional
        When, ISO 8601 in UTC; by default now.
    progress : callable, optional
        Told what begins, in a few words.

    Returns
    -------
    Certificate
        Golden rows with their probabilities, and what the comparison found.

    Raises
    ------
    ExportError
        The model is no fitted classifier with probabilities or cannot be converted, names or rows do not fit it,
        or a probability differs by more than `tolerance`.
    ArtifactError
        onnxruntime refuses the graph.
    """
    begin = progress or (lambda stage: None)
    if not 0.0 < tolerance < 0.5:
        raise ExportError(f"tolerance: expected a number between 0 and 0.5, got {tolerance:g}")
    reference = Reference(model)
    sample, test = _rows("rows", rows, reference), _rows("test_rows", test_rows, reference)
    base = sample if training_rows is None else _rows("training_rows", training_rows, reference)
    features = test.shape[1]
    if sample.shape[1] != features:
        raise ExportError(f"rows: expected {features} columns as in test_rows, got {sample.shape[1]}")
    card = ModelCard(
        name=name,
        version=version,
        feature_names=_feature_names(feature_names, reference, features),
        labels=_names("labels", labels or reference.labels, len(reference.labels)),
        created=created or datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        feature_specification=feature_specification,
        training=dict(training or {}),
        libraries=dict(libraries or {}) | {library: library_version(library) for library in _LIBRARIES},
    )

    begin("converting into a graph")
    proto = convert(model, features, len(card.labels))
    graph = proto.SerializeToString(deterministic=True)
    engine = OnnxruntimeEngine(graph)
    begin(f"asking scikit-learn for the {len(test):,} rows of the test set")
    expected = reference.probabilities(test)
    certain = np.flatnonzero(margins(expected) > 2 * tolerance)
    if not len(certain):
        raise ExportError(f"test_rows: expected a row with a leading class, {reference.kind} gives none")
    begin("choosing golden rows")
    golden = choose_golden_rows(reference, sample, test[certain[-1:]], tolerance)
    begin("comparing the graph with scikit-learn")
    rows, truth = np.concatenate([golden.rows, test]), np.concatenate([golden.probabilities, expected])
    found = _compare(engine, rows, truth, golden, reference, tolerance)
    certificate = Certificate(
        reference=reference.name,
        tolerance=tolerance,
        rows=golden.rows.astype("<f4").tobytes(),
        probabilities=golden.probabilities.astype("<f8").tobytes(),
        compared_rows=found.rows,
        max_probability_difference=found.max_probability_difference,
        label_flips=found.label_flips,
        engines=(EngineFinding(engine=name_of(engine), found=found), _try_compiled(graph, rows, truth)),
    )

    card = msgspec.structs.replace(
        card,
        baseline=take_baseline(base, in_batches(engine, base)),
        background=base[spread(len(base), min(len(base), _BACKGROUND_ROWS))].astype("<f4").tobytes(),
    )
    for key, value in metadata(card, certificate).items():
        proto.metadata_props.add(key=key, value=value)
    begin("writing and replaying the file")
    _publish(seal(proto.SerializeToString(deterministic=True)), Path(path))
    return certificate


def _rows(field: str, given: ArrayLike, reference: Reference) -> NDArray[np.float32]:
    """Return rows as a float32 matrix of the model's width."""
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(given, np.float32)
    if rows.ndim != 2 or 0 in rows.shape:
        raise ExportError(f"{field}: expected a matrix of at least one row, got shape {rows.shape}")
    if reference.features not in (None, rows.shape[1]):
        raise ExportError(f"{field}: expected {reference.features} columns as in training, got {rows.shape[1]}")
    broken = np.argwhere(~np.isfinite(rows))
    if len(broken):
        row, column = broken[0]
        raise ExportError(
            f"{field}: expected finite float32 numbers, got {rows[row, column]} in row {row}, column {column}"
        )
    return rows


def _feature_names(given: Sequence[str] | None, reference: Reference, features: int) -> tuple[str, ...]:
    """Return the columns' names; a model that knows its own accepts no others, as their order may be another too."""
    fitted = reference.feature_names
    names = _names("feature_names", given or fitted or [f"f{index}" for index in range(features)], features)
    if fitted is not None and names != fitted:
        raise ExportError(
            f"feature_names: expected the columns that the model was fitted on, {', '.join(fitted)}, "
            f"got {', '.join(names)}"
        )
    return names


def _names(field: str, names: Sequence[str], count: int) -> tuple[str, ...]:
    """Return names that are as many as expected and all different."""
    if len(names) != count:
        raise ExportError(f"{field}: expected {count}, got {len(names)}: {', '.join(names)}")
    repeated = sorted({name for name in names if list(names).count(name) > 1})
    if repeated:
        raise ExportError(f"{field}: expected different names, got {', '.join(repeated)} more than once")
    return tuple(names)


def _compare(
    engine: Engine,
    rows: NDArray[np.float32],
    truth: NDArray[np.float64],
    golden: GoldenRows,
    reference: Reference,
    tolerance: float,
) -> Comparison:
    """Compare graph and reference over golden rows, which come first, and test set; refuse what is beyond tolerance."""
    answers = in_batches(engine, rows)
    found = compare(answers, truth)
    if not found.max_probability_difference <= tolerance:
        difference = np.nan_to_num(np.abs(answers - truth), nan=np.inf).max(axis=1)
        worst = int(difference.argmax())
        kind = f"golden row of kind {golden.kinds[worst]}" if worst < len(golden.rows) else "row of the test set"
        raise ExportError(
            f"graph of {reference.kind}: expected probabilities within {tolerance:g} of scikit-learn's, got "
            f"{found.max_probability_difference:.3g} on a {kind}; {np.count_nonzero(difference > tolerance)} of "
            f"{found.rows} rows are further off and {found.label_flips} labels differ"
        )
    return found


def _try_compiled(graph: bytes, rows: NDArray[np.float32], truth: NDArray[np.float64]) -> EngineFinding:
    """Compare the compiled engine with the reference; whatever comes of it, a server has onnxruntime too."""
    try:
        engine = load_compiled(graph, {}, threads=1)
    except EngineError as error:
        return EngineFinding(engine="compiled", detail=error.detail)
    found = compare(in_batches(engine, rows), truth)
    if not np.isfinite(found.max_probability_difference):  # JSON has no word for it
        return EngineFinding(engine=name_of(engine), detail="an answer is not finite")
    return EngineFinding(engine=name_of(engine), found=found)


def check_target(path: Path) -> None:
    """Raise the ExportError that the end of an export would, before the work whose result the file is to take."""
    try:
        check_file(path)
    except OSError as error:
        raise _not_written(path, error) from None


def _publish(content: bytes, path: Path) -> None:
    """Write a file beside `path`, replay it as a server would, and put it in the place of `path`."""
    try:
        with write_atomically(path) as staging:
            staging.write_bytes(content)
            staging.chmod(0o644)  # a server runs as another user
            _replay(staging)
    except OSError as error:
        raise _not_written(path, error) from None


def _not_written(path: Path, error: OSError) -> ExportError:
    return ExportError(f"{path}: cannot be written: {error.strerror or error}")


def _replay(path: Path) -> None:
    """Read a file back and compare its golden probabilities, in a batch and row by row."""
    engine = OnnxruntimeEngine(read_sealed(path)[0])
    golden = read_golden(*parse_metadata(engine.metadata))
    try:
        replay(engine, golden)
    except ArtifactError as error:
        raise ExportError(f"replay of the written file: {error}") from None
