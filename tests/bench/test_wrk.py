"""The report of wrk."""

import pytest

from bench.servers import MeasureError
from bench.wrk import parse


def test_the_report_of_wrk_is_read() -> None:
    load = parse("Running 2s test\n  4000 requests\n\nfound 4000 2000000 0 0 250 1500\n", cpu=1.0)
    assert (load.rate, load.cpu, load.p50, load.p99) == (2000.0, 1 / 4000, 250e-6, 1500e-6)


@pytest.mark.parametrize(
    "output", ["unable to connect", "found 0 10 0 0 1 1", "found 9 10 1 0 1 1", "found 9 10 0 1 1 1"]
)
def test_a_run_of_wrk_with_errors_is_none(output: str) -> None:
    with pytest.raises(MeasureError):
        parse(output, cpu=1.0)
