"""One row through the predictor by both engines, beside `session.run` and scikit-learn."""

from pytest_benchmark.fixture import BenchmarkFixture

from bench.collect import Case, parametrize
from bench.predictor_work import predictor_work


@parametrize(predictor_work)
def test_predictor(benchmark: BenchmarkFixture, case: Case) -> None:
    case.run(benchmark)
