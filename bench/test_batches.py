"""Batches in every format beside onnxruntime alone and a plain JSON service, a group for each format."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.batches import Work, all_work

WORK = {work.name: work for work in all_work()}


@pytest.mark.parametrize("what", ["ours", "engine", "plain"])
@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_batches(benchmark: BenchmarkFixture, work: Work, what: str) -> None:
    benchmark.group = work.name
    benchmark(getattr(work, what))
