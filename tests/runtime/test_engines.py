"""The choice of an engine: by proof, and by onnxruntime where there is none."""

import argparse
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from features_fast.errors import TicklineError
from runtime.artifact import compare, read_sealed
from runtime.board import COMMITTED, ENGINE, PROPOSED, Board
from runtime.compiled import engine as compiled_engine
from runtime.compiled import lowering
from runtime.compiled.engine import CompiledEngine
from runtime.compiled.program import Program, Trees
from runtime.engine import CHUNK_ROWS
from runtime.engines import AUTO, CHOICES, COMPILED, ONNXRUNTIME, EngineError
from runtime.metrics import WORDS
from runtime.model_holder import ModelHolder
from runtime.predictor import Predictor
from runtime.replay import in_batches, row_by_row
from runtime.settings import read_settings
from tests.runtime.conftest import random_rows


@pytest.fixture(scope="module")
def content(forest_path: Path) -> bytes:
    return read_sealed(forest_path)[0]


@pytest.fixture(scope="module")
def unsupported(naive_bayes_path: Path) -> bytes:
    return read_sealed(naive_bayes_path)[0]


@pytest.mark.parametrize("kind", ["forest", "boosting", "three_class"])
def test_auto_takes_the_compiled_engine_with_the_labels_of_onnxruntime(
    kind: str, request: pytest.FixtureRequest
) -> None:
    content = request.getfixturevalue(f"{kind}_path").read_bytes()
    chosen, plain = Predictor(content), Predictor(content, wish=ONNXRUNTIME)
    assert (chosen.engine.name, chosen.choice.reason) == ("compiled", "proven")
    assert (plain.engine.name, plain.choice.reason) == ("onnxruntime", "asked")
    assert chosen.steady
    assert chosen.choice.agreement is not None
    assert chosen.choice.agreement.replay.rows == plain.replay.rows >= 256
    assert chosen.choice.agreement.replay.max_probability_difference < 1e-6
    rows = random_rows(CHUNK_ROWS + 500, plain.engine.features, seed=8)
    for run in (in_batches, row_by_row):
        found = compare(run(chosen.engine, rows), run(plain.engine, rows))
        assert found.max_probability_difference < 1e-6
        assert found.label_flips == 0


def test_a_graph_that_is_not_supported_is_named_node_by_node(unsupported: bytes) -> None:
    predictor = Predictor(unsupported)
    assert (predictor.engine.name, predictor.choice.reason) == ("onnxruntime", "unsupported")
    with pytest.raises(EngineError) as caught:
        Predictor(unsupported, wish=COMPILED)
    assert str(caught.value) == f"ENGINE compiled: {predictor.choice.detail}"
    for operator in ("ReduceLogSumExp", "Pow"):
        assert operator in predictor.choice.detail


def with_leaves(change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Callable[[bytes], Program]:
    """Return a reader that changes the leaves of the forests that it reads."""
    read = lowering.read_program

    def read_changed(content: bytes) -> Program:
        program = read(content)
        steps = []
        for step in program.steps:
            if isinstance(step, Trees):
                step = replace(step, forest=replace(step.forest, leaf_weights=change(step.forest.leaf_weights)))
            steps.append(step)
        return Program(program.features, program.classes, tuple(steps))

    return read_changed


def scaled(by: float) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    return lambda weights: (weights * by).astype(np.float32)


class _WrongAlone(CompiledEngine):
    """An engine whose single rows have their classes the wrong way round."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        right: Callable[[], Any] = self.predict_one
        self.predict_one = lambda: right()[::-1].copy()


@pytest.mark.parametrize("way", ["grossly", "slightly", "in a batch", "row by row", "by its width"])
def test_an_engine_that_answers_otherwise_does_not_serve(
    way: str, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "grossly":  # beyond what the certificate allows
        monkeypatch.setattr(lowering, "read_program", with_leaves(lambda weights: weights[::-1].copy()))
        says = "certificate: predicted in a batch"
    elif way == "slightly":  # within that, and beyond what onnxruntime allows
        monkeypatch.setattr(lowering, "read_program", with_leaves(scaled(1 + 4e-6)))
        says = "golden rows are not onnxruntime's and a probability is"
    elif way == "in a batch":
        run = CompiledEngine.predict
        monkeypatch.setattr(CompiledEngine, "predict", lambda engine, rows: run(engine, rows)[:, ::-1].copy())
        says = "certificate: predicted in a batch"
    elif way == "row by row":
        monkeypatch.setattr(compiled_engine, "CompiledEngine", _WrongAlone)
        says = "certificate: predicted row by row"
    else:
        widened = Program(23, 23, ())
        monkeypatch.setattr(lowering, "read_program", lambda content: widened)
        says = "it reads 23 features and 23 classes, onnxruntime 22 and 2"
    predictor = Predictor(content)
    assert (predictor.engine.name, predictor.choice.reason) == ("onnxruntime", "differs")
    assert says in predictor.choice.detail
    with pytest.raises(EngineError, match=says):
        Predictor(content, wish=COMPILED)


def test_a_difference_within_the_bound_serves(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowering, "read_program", with_leaves(scaled(1 + 4e-7)))
    assert Predictor(content).choice.reason == "proven"


def test_without_a_library_onnxruntime_serves(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def find() -> None:
        raise TicklineError("no library fits")

    monkeypatch.setattr(compiled_engine, "find", find)
    predictor = Predictor(content)
    assert (predictor.choice.reason, predictor.choice.detail) == ("unavailable", "no library fits")
    with pytest.raises(EngineError, match="ENGINE compiled: no library fits"):
        Predictor(content, wish=COMPILED)


@pytest.mark.parametrize(("found", "level"), [(True, "INFO"), (False, "WARNING")])
def test_an_engine_that_could_run_and_does_not_is_a_warning(
    found: bool,
    level: str,
    content: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if not found:
        monkeypatch.setattr(lowering, "read_program", with_leaves(scaled(2)))
    board = Board(tmp_path, WORDS)
    board.header[PROPOSED] = board.header[COMMITTED] = board.store_model(content)
    slot = board.claim()
    with caplog.at_level(logging.INFO, "tickline"):
        holder = ModelHolder(board, slot, read_settings(argparse.Namespace(), {}))
    assert [(record.levelname, record.getMessage()[:7]) for record in caplog.records] == [(level, "engine ")]
    assert slot[ENGINE] == holder.model.predictor.choice.number


def test_a_defect_of_the_compiled_engine_keeps_no_model_from_being_served(
    content: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def read_program(content: bytes) -> Program:
        raise KeyError("nodes_modes")

    monkeypatch.setattr(lowering, "read_program", read_program)
    with caplog.at_level(logging.ERROR, "tickline"):
        predictor = Predictor(content)
    assert (predictor.engine.name, predictor.choice.reason) == ("onnxruntime", "failed")
    assert "KeyError" in predictor.choice.detail
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_every_choice_has_a_number(content: bytes) -> None:
    assert len(set(CHOICES)) == len(CHOICES)
    for wish in (AUTO, ONNXRUNTIME):
        choice = Predictor(content, wish=wish).choice
        assert CHOICES[choice.number] == (choice.served.engine.name, choice.reason)


def test_onnxruntime_alone_loads_no_engine_beside_it(forest_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from runtime.engines import ONNXRUNTIME\n"
        "from runtime.model import load_model\n"
        f"load_model(Path({str(forest_path)!r}), threads=1, wish=ONNXRUNTIME)\n"
        "print(sorted(name for name in sys.modules if name.startswith('runtime.compiled')))\n"
        "print([line for line in open('/proc/self/maps') if 'compiled' in line])\n"
    )
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    reader = ["runtime.compiled", *(f"runtime.compiled.{name}" for name in ("errors", "graph", "protobuf", "wire"))]
    assert found == f"{reader}\n[]\n"  # the rules of graphs need it, and nothing of the engine


def test_the_reference_is_asked_again_only_where_it_is_kept(content: bytes) -> None:
    rows = random_rows(3 * CHUNK_ROWS, 22, seed=3)
    kept, dropped = Predictor(content, keep_reference=True), Predictor(content)
    assert kept.predict(rows).tobytes() == dropped.predict(rows).tobytes()
    assert kept.reference is not None
    assert kept.reference.checked.rows == 3
    assert kept.reference.checked.max_probability_difference < 1e-6
    assert kept.reference.checked.label_flips == 0
    assert dropped.reference is None
    assert Predictor(content, wish=ONNXRUNTIME, keep_reference=True).reference is None


def test_threads_change_no_bit_of_the_compiled_engine(content: bytes) -> None:
    rows = random_rows(CHUNK_ROWS, 22, seed=5)
    expected = Predictor(content, wish=COMPILED).predict(rows)
    assert Predictor(content, threads=2, wish=COMPILED).predict(rows).tobytes() == expected.tobytes()
