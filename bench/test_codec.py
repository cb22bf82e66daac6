"""Bodies into rows and probabilities into replies, beside the standard library's json."""

from pytest_benchmark.fixture import BenchmarkFixture

from bench.codec_work import codec_work
from bench.collect import Case, parametrize


@parametrize(codec_work)
def test_codec(benchmark: BenchmarkFixture, case: Case) -> None:
    case.run(benchmark)
