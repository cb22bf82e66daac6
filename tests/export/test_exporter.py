import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from export import DEFAULT_TOLERANCE, ExportError, export_classifier
from runtime.artifact import Certificate, ModelCard, compare, golden_rows, parse_metadata, read_sealed
from runtime.compiled.engine import CompiledEngine
from runtime.onnxruntime_engine import OnnxruntimeEngine
from tests.export.samples import MODEL_TYPES, fitted, market, three_classes

Export = Callable[..., Certificate]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "models" / "model.onnx"


@pytest.fixture
def export(path: Path) -> Export:
    """Return a function that exports a model of three classes and five features."""
    rows, _ = three_classes()

    def run(model: Any, **changes: Any) -> Certificate:
        arguments: dict[str, Any] = {"rows": rows, "test_rows": rows[400:], "name": "three", "version": "2.1"}
        return export_classifier(model, path, **arguments | changes)

    return run


def logistic() -> Pipeline:
    rows, targets = three_classes()
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, targets)


def reload(path: Path) -> tuple[OnnxruntimeEngine, ModelCard, Certificate]:
    engine = OnnxruntimeEngine(read_sealed(path)[0])
    return engine, *parse_metadata(engine.metadata)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_certifies_tickline_s_own_models(model_type: str, path: Path) -> None:
    rows = market()[0]
    model = fitted(model_type)
    certificate = export_classifier(
        model, path, rows=rows, test_rows=rows[2000:], name=model_type, version="1.0.0", labels=["DOWN", "UP"]
    )
    engine, card, stored = reload(path)
    assert certificate == stored
    assert certificate.label_flips == 0
    assert certificate.max_probability_difference < 1e-6
    golden, reference = golden_rows(card, stored)
    assert certificate.compared_rows == 1000 + len(golden)
    assert len(golden) >= 256
    np.testing.assert_array_equal(golden[0], rows[-1])
    np.testing.assert_array_equal(reference, model.predict_proba(golden))
    np.testing.assert_array_equal(engine.predict(rows).argmax(axis=1), model.predict_proba(rows).argmax(axis=1))


def test_certifies_the_compiled_engine_too(path: Path, export: Export) -> None:
    certificate = export(logistic())
    onnxruntime_found, compiled = certificate.engines
    assert onnxruntime_found.engine == f"onnxruntime {onnxruntime.__version__}"
    assert onnxruntime_found.found is not None
    assert onnxruntime_found.found.max_probability_difference == certificate.max_probability_difference
    assert compiled.engine.startswith("compiled ")
    assert compiled.found is not None
    assert compiled.found.rows == certificate.compared_rows
    assert compiled.found.max_probability_difference < 1e-6
    assert compiled.found.label_flips == 0
    assert certificate == reload(path)[2]


def test_a_model_that_the_compiled_engine_does_not_support_is_exported_and_says_so(path: Path, export: Export) -> None:
    rows, targets = three_classes()
    compiled = export(make_pipeline(StandardScaler(), GaussianNB()).fit(rows, targets)).engines[1]
    assert (compiled.engine, compiled.found) == ("compiled", None)
    assert compiled.detail is not None
    assert "ReduceLogSumExp" in compiled.detail
    assert reload(path)[2].engines[1] == compiled


def test_an_answer_that_is_not_finite_is_no_finding(
    path: Path, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CompiledEngine, "predict", lambda engine, rows: np.full((len(rows), 3), np.nan, np.float32))
    compiled = export(logistic()).engines[1]
    assert (compiled.found, compiled.detail) == (None, "an answer is not finite")
    assert reload(path)[2].engines[1] == compiled


@pytest.mark.parametrize(
    "classifier",
    [
        DecisionTreeClassifier(max_depth=6, random_state=0),
        ExtraTreesClassifier(20, random_state=0),
        GradientBoostingClassifier(n_estimators=10, random_state=0),
        HistGradientBoostingClassifier(max_iter=10, random_state=0),
        MLPClassifier((8,), max_iter=2000, random_state=0),
        GaussianNB(),
        BaggingClassifier(random_state=0),
        CalibratedClassifierCV(GaussianNB()),
        GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [3, 4]}),
    ],
    ids=lambda classifier: type(classifier).__name__,
)
def test_exports_classifiers_of_three_classes(classifier: ClassifierMixin, path: Path, export: Export) -> None:
    rows, targets = three_classes()
    model = make_pipeline(StandardScaler(), classifier).fit(rows, targets)
    certificate = export(model)
    assert certificate.label_flips == 0
    engine, card, _ = reload(path)
    assert card.labels == ("down", "flat", "up")
    assert card.feature_names == ("f0", "f1", "f2", "f3", "f4")
    assert compare(engine.predict(rows), model.predict_proba(rows)).max_probability_difference <= DEFAULT_TOLERANCE
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(["label"], {"features": rows})[0], model.predict(rows))


def test_the_card_says_what_it_was_told(path: Path, export: Export) -> None:
    export(
        logistic(),
        feature_names=list("abcde"),
        labels=["D", "F", "U"],
        feature_specification="0123",
        training={"seed": 7, "split": {"test": {"rows": 200}}},
        libraries={"pandas": "3.0"},
        created="2026-01-15T10:30:00Z",
    )
    _, card, _ = reload(path)
    assert (card.name, card.version, card.created) == ("three", "2.1", "2026-01-15T10:30:00Z")
    assert card.feature_names == ("a", "b", "c", "d", "e")
    assert card.labels == ("D", "F", "U")
    assert card.feature_specification == "0123"
    assert card.training == {"seed": 7, "split": {"test": {"rows": 200}}}
    assert set(card.libraries) == {"pandas", "scikit-learn", "numpy", "skl2onnx", "onnx", "onnxruntime"}


def test_names_the_columns_of_a_frame(path: Path, export: Export) -> None:
    rows, targets = three_classes()
    model = logistic().fit(pd.DataFrame(rows, columns=list("vwxyz")), targets)
    export(model)
    assert reload(path)[1].feature_names == ("v", "w", "x", "y", "z")
    with pytest.raises(ExportError, match="expected the columns that the model was fitted on, v, w, x, y, z, got z, y"):
        export(model, feature_names=list("zyxwv"))


def test_is_still_an_onnx_model(path: Path, export: Export) -> None:
    export(logistic())
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert {entry.key for entry in proto.metadata_props} == {
        "tickline.model",
        "tickline.certificate",
        "tickline.sha256",
    }


def test_the_same_model_and_rows_give_the_same_bytes(path: Path, export: Export) -> None:
    contents = []
    for created in ("2026-01-15T10:30:00Z", "2026-01-15T10:30:00Z", "2026-01-15T10:30:01Z"):
        export(logistic(), created=created)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]


def test_names_its_stages_in_order(export: Export) -> None:
    stages: list[str] = []
    export(logistic(), progress=stages.append)
    assert stages == [
        "converting into a graph",
        "asking scikit-learn for the 200 rows of the test set",
        "choosing golden rows",
        "comparing the graph with scikit-learn",
        "writing and replaying the file",
    ]


def test_nothing_is_written_above_the_tolerance(path: Path, export: Export) -> None:
    export(logistic())
    before = path.read_bytes()
    with pytest.raises(
        ExportError, match=r"within 1e-12 of scikit-learn's, got .*e-0[78] on a (golden row|row of the)"
    ):
        export(logistic(), tolerance=1e-12)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_says_on_which_kind_of_row_a_graph_differs(monkeypatch: pytest.MonkeyPatch, path: Path, export: Export) -> None:
    monkeypatch.setattr("export.graph._SCALER_OPTIONS", {})  # a scaler that multiplies moves rows over thresholds
    rows, targets = three_classes()
    model = make_pipeline(StandardScaler(), DecisionTreeClassifier(random_state=0)).fit(rows, targets)
    with pytest.raises(ExportError, match=r"got 1 on a golden row of kind threshold; .* labels differ"):
        export(model)
    assert not path.exists()


def test_a_model_that_needs_a_loop_is_refused(path: Path, export: Export) -> None:
    rows, targets = three_classes()
    with pytest.raises(ExportError, match=r"\(Scan\): expected no loops and no branches"):
        export(make_pipeline(StandardScaler(), KNeighborsClassifier()).fit(rows, targets))
    assert not path.exists()


def test_a_graph_that_answers_nan_does_not_pass(monkeypatch: pytest.MonkeyPatch, path: Path, export: Export) -> None:
    def no_answer(engine: OnnxruntimeEngine, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.full((len(rows), engine.classes), np.nan, np.float32)

    monkeypatch.setattr(OnnxruntimeEngine, "predict", no_answer)
    with pytest.raises(ExportError, match="got inf on a golden row of kind real"):
        export(logistic())
    assert not path.exists()


def test_a_replay_that_differs_leaves_the_old_file(monkeypatch: pytest.MonkeyPatch, path: Path, export: Export) -> None:
    export(logistic())
    before = path.read_bytes()
    predict_one = OnnxruntimeEngine.predict_one
    monkeypatch.setattr(OnnxruntimeEngine, "predict_one", lambda engine: predict_one(engine)[::-1])
    with pytest.raises(ExportError, match="replay of the written file: certificate: predicted row by row, a golden"):
        export(logistic(), version="3")
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_float64_rows_are_rounded_to_float32(path: Path, export: Export) -> None:
    rows = three_classes()[0].astype(np.float64) * (1 + 1e-12)
    export(logistic(), rows=rows.tolist(), test_rows=rows)
    _, card, certificate = reload(path)
    np.testing.assert_array_equal(golden_rows(card, certificate)[0][0], rows[-1].astype(np.float32))


def test_the_first_golden_row_is_the_newest_with_a_certain_label(path: Path, export: Export) -> None:
    rows, targets = three_classes()
    halves = np.where(rows[:, 0] > np.median(rows[:, 0]), targets, np.where(np.arange(600) % 2, "down", "up"))
    model = DecisionTreeClassifier(max_depth=1).fit(rows[:, :1], np.where(halves == "flat", "up", halves))
    model.tree_.value[1] = [[0.5, 0.5]]
    export(model, rows=rows[:, :1], test_rows=rows[:, :1])
    _, card, certificate = reload(path)
    undecided = model.predict_proba(rows[:, :1])[:, 0] == 0.5
    newest = np.flatnonzero(~undecided)[-1]
    assert undecided.any()
    assert golden_rows(card, certificate)[0][0] == rows[newest, 0]
    with pytest.raises(ExportError, match="test_rows: expected a row with a leading class"):
        export(model, rows=rows[:, :1], test_rows=rows[undecided][:, :1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tolerance": 0.0}, "tolerance: expected a number between 0 and 0.5, got 0"),
        ({"tolerance": float("nan")}, "tolerance: expected a number between 0 and 0.5, got nan"),
        ({"rows": np.ones((4, 6))}, "rows: expected 5 columns as in training, got 6"),
        ({"test_rows": np.ones((0, 5))}, "test_rows: expected a matrix of at least one row, got shape (0, 5)"),
        ({"rows": np.ones(5)}, "rows: expected a matrix of at least one row, got shape (5,)"),
        ({"rows": np.full((3, 5), np.nan)}, "rows: expected finite float32 numbers, got nan in row 0, column 0"),
        ({"test_rows": np.full((3, 5), 1e39)}, "test_rows: expected finite float32 numbers, got inf in row 0"),
        ({"labels": ["a", "b"]}, "labels: expected 3, got 2: a, b"),
        ({"labels": ["a", "b", "a"]}, "labels: expected different names, got a more than once"),
        ({"feature_names": ["a"]}, "feature_names: expected 5, got 1: a"),
        ({"feature_names": list("abcdd")}, "feature_names: expected different names, got d more than once"),
    ],
)
def test_refuses_what_does_not_fit_the_model(changes: dict[str, Any], message: str, export: Export) -> None:
    with pytest.raises(ExportError, match=re.escape(message)):
        export(logistic(), **changes)


def test_says_that_a_path_cannot_be_written(tmp_path: Path) -> None:
    rows = three_classes()[0]
    (tmp_path / "file").touch()
    (tmp_path / "model.onnx").mkdir()
    for path in (tmp_path / "file" / "model.onnx", tmp_path / "model.onnx"):
        with pytest.raises(ExportError, match=f"{path}: cannot be written: "):
            export_classifier(logistic(), path, rows=rows, test_rows=rows, name="three", version="1")


def test_a_link_stays_and_the_file_that_it_leads_to_is_the_new_one(tmp_path: Path) -> None:
    rows = three_classes()[0]
    path, kept = tmp_path / "model.onnx", tmp_path / "kept" / "model.onnx"
    path.symlink_to(kept)
    for version in ("1", "2"):
        export_classifier(logistic(), path, rows=rows, test_rows=rows, name="three", version=version)
        assert path.is_symlink()
        assert parse_metadata(OnnxruntimeEngine(read_sealed(kept)[0]).metadata)[0].version == version
