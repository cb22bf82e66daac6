"""The predictor: equal to `session.run`, whatever the number of rows, and strict about what it loads."""

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest

from runtime.artifact import CARD_KEY, CERTIFICATE_KEY, ArtifactError, Certificate, read_sealed, seal
from runtime.engine import CHUNK_ROWS
from runtime.engines import COMPILED, ONNXRUNTIME
from runtime.model import load_model
from runtime.predictor import CHUNK_SECONDS, Predictor
from tests.runtime.conftest import edited, random_rows


@pytest.fixture(scope="module")
def content(forest_path: Path) -> bytes:
    return read_sealed(forest_path)[0]


@pytest.mark.parametrize("wish", [ONNXRUNTIME, COMPILED])
def test_single_rows_and_batches_equal_session_run(wish: str, content: bytes) -> None:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    predictor = Predictor(content, wish=wish)
    for count in (1, 2, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 1, 3 * CHUNK_ROWS + 5):
        rows = random_rows(count, 22, seed=count)
        expected = session.run(["probabilities"], {"features": rows})[0]
        np.testing.assert_allclose(predictor.predict(rows), expected, rtol=0, atol=1e-6)
        for row, chunk in zip(rows[:20], expected[:20], strict=False):
            predictor.row[:] = row
            single = predictor.predict_row()
            alone = session.run(["probabilities"], {"features": row[None]})[0][0]
            assert single.tobytes() == (alone if wish == ONNXRUNTIME else predictor.predict(row[None])[0]).tobytes()
            np.testing.assert_allclose(single, chunk, rtol=0, atol=1e-6)


def test_chunks_are_bounded(content: bytes) -> None:
    predictor = Predictor(content)
    size = predictor.chunk_rows
    assert 1 < size <= CHUNK_ROWS
    rows = random_rows(2 * size + 1, 22, seed=3)
    assert [len(chunk) for chunk in predictor.chunks(rows)] == [size, size, 1]


@pytest.mark.parametrize(
    ("times", "threads", "rows"),
    [(0.5, 1, CHUNK_ROWS), (4, 1, CHUNK_ROWS // 4), (1000, 1, 128), (1000, 2, 1024), (1000, 16, CHUNK_ROWS)],
)
def test_a_slow_model_gets_smaller_chunks(
    times: float, threads: int, rows: int, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = times * CHUNK_SECONDS / CHUNK_ROWS
    monkeypatch.setattr(Predictor, "_time_batches", lambda predictor, rows: seconds)
    predictor = Predictor(content, threads)
    assert predictor.chunk_rows == rows
    assert predictor.describe()["engine"]["chunk_seconds"] == pytest.approx(rows * seconds, abs=1e-6)


def test_a_forged_golden_probability_is_refused_by_the_replay(content: bytes) -> None:
    def forge(text: str) -> str:
        certificate = msgspec.json.decode(text, type=Certificate)
        probabilities = np.frombuffer(certificate.probabilities).copy()
        probabilities[100] += 1e-3
        return msgspec.json.encode(msgspec.structs.replace(certificate, probabilities=probabilities.tobytes())).decode()

    with pytest.raises(ArtifactError, match=r"certificate: .*a golden probability is off by 0\.001"):
        Predictor(edited(content, CERTIFICATE_KEY, forge))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"SMA_5",', "", "card: expected 22 feature_names"),
        ('"SMA_5"', '"SMA_10"', "card: feature_names: expected different names"),
        ('"SMA_5"', r'"SMA\n"', "card: feature_names: expected no quotes"),
        ('"DOWN",', "", "card: expected 2 labels"),
        (
            '"baseline":{"edges":"',
            '"baseline":{"edges":"AAAA',
            "card: baseline: expected that of 22 features and the score",
        ),
    ],
)
def test_a_card_that_does_not_fit_the_graph_is_refused(content: bytes, old: str, new: str, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        Predictor(edited(content, CARD_KEY, lambda text: text.replace(old, new, 1)))


def test_a_sealed_file_that_is_no_graph_is_refused() -> None:
    with pytest.raises(ArtifactError, match="model: expected a field, got tag"):
        Predictor(seal(b"junk" * 100))


def test_a_graph_with_other_inputs_is_refused() -> None:
    helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["probabilities"])],
        "g",
        [helper.make_tensor_value_info("x", FLOAT, [None, 3])],
        [helper.make_tensor_value_info("probabilities", FLOAT, [None, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ArtifactError, match=r"graph input: expected `features`.*got x tensor\(float\)"):
        Predictor(seal(model.SerializeToString()))


def test_loading_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(seal(b"junk"))
    with pytest.raises(ArtifactError, match=r"model\.onnx: model: truncated"):
        load_model(path, threads=1)


def test_a_forest_is_loaded_without_masked_arrays(forest_path: Path) -> None:
    """NumPy would load them for `unique`, at a thirtieth of a start."""
    program = f"""
import sys
from pathlib import Path
from runtime.model import load_model
print(load_model(Path({str(forest_path)!r}), threads=1).predictor.engine.name, "numpy.ma" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["compiled", "False"]
