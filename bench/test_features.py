"""Features: ours beside TA-Lib and pandas, a group for each pair. ``python -m bench.features`` makes the full table."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.features import Work, all_work

# A tenth of the tickers of the full table: the ratio is the same, and a round takes a tenth of the time.
WORK = {f"{work.name}, against {work.peer}": work for work in all_work(tickers=500)}


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_ours(benchmark: BenchmarkFixture, work: Work) -> None:
    benchmark.group = f"{work.name}, against {work.peer}"
    benchmark(work.ours)


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_theirs(benchmark: BenchmarkFixture, work: Work) -> None:
    benchmark.group = f"{work.name}, against {work.peer}"
    benchmark(work.theirs)
