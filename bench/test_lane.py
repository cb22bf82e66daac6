"""A request through both lanes in one process, without a socket, beside a plain ASGI application."""

from pytest_benchmark.fixture import BenchmarkFixture

from bench.collect import Case, parametrize
from bench.lane_work import lane_work


@parametrize(lane_work)
def test_lane(benchmark: BenchmarkFixture, case: Case) -> None:
    case.run(benchmark)
