"""The compiled engine beside onnxruntime, a group for each work. ``python -m bench.engines`` makes the full table."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.engine_models import BOOSTING, FOREST, LOGISTIC, Spec, graph, random_rows
from runtime.compiled.engine import CompiledEngine
from runtime.compiled.lowering import read_program
from runtime.engine import Engine
from runtime.onnxruntime_engine import OnnxruntimeEngine

SPECS = {spec.name: spec for spec in (FOREST, BOOSTING, LOGISTIC)}
ROWS = random_rows(10_000, seed=9)


def engine(name: str, spec: Spec) -> Engine:
    """Return a model in an engine, on one thread."""
    if name == "onnxruntime":
        return OnnxruntimeEngine(graph(spec))
    return CompiledEngine(read_program(graph(spec)), {})


@pytest.mark.parametrize("name", ["compiled", "onnxruntime"])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_single_rows(benchmark: BenchmarkFixture, spec: Spec, name: str) -> None:
    """A hundred rows, one by one."""
    benchmark.group = f"{spec.name}, 100 single rows"
    runs = engine(name, spec)
    row, predict = runs.row, runs.predict_one

    def work() -> None:
        for values in ROWS[:100]:
            row[0] = values
            predict()

    benchmark(work)


@pytest.mark.parametrize("name", ["compiled", "onnxruntime"])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_batches(benchmark: BenchmarkFixture, spec: Spec, name: str) -> None:
    """Ten thousand rows at once."""
    benchmark.group = f"{spec.name}, 10,000 rows"
    runs = engine(name, spec)
    benchmark(lambda: runs.predict(ROWS))
