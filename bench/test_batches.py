"""Batches in every format beside the engine alone and a plain JSON service, a group for each format."""

from pytest_benchmark.fixture import BenchmarkFixture

from bench.batches import batch_work
from bench.collect import Case, parametrize


@parametrize(batch_work)
def test_batches(benchmark: BenchmarkFixture, case: Case) -> None:
    case.run(benchmark)
