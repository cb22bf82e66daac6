"""The imports of a worker, beside those of the libraries that it needs."""

from pytest_benchmark.fixture import BenchmarkFixture

from bench.collect import Case, parametrize
from bench.startup_work import startup_work


@parametrize(startup_work)
def test_startup(benchmark: BenchmarkFixture, case: Case) -> None:
    case.run(benchmark)
