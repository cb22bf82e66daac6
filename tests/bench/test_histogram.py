"""The histogram agrees with the numbers that it was made of."""

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from bench.histogram import Latencies, describe_step


def test_percentiles_are_within_a_thousandth() -> None:
    seconds = np.random.default_rng(0).lognormal(-9, 1.5, 50_000)
    summary = Latencies(seconds).summary()
    ordered = np.sort(seconds)
    for name, rank in (("p50", 25_000), ("p99", 49_500), ("p99.9", 49_950), ("max", 50_000)):
        # Conventions of a percentile's rank differ by one.
        assert 0.999 * ordered[rank - 2] <= summary[name] <= 1.001 * ordered[min(rank, 49_999)]
    assert summary["mean"] == pytest.approx(seconds.mean(), rel=0.001)


def test_what_lies_outside_counts_at_the_ends() -> None:
    summary = Latencies(np.array([0.0, 1e-9, 1e6])).summary()
    assert summary["p50"] == pytest.approx(1e-9)
    assert summary["max"] == pytest.approx(3600, rel=0.001)


def test_the_curve_climbs_to_the_largest() -> None:
    curve = Latencies(np.linspace(0.001, 0.1, 1000)).curve()
    assert curve == sorted(curve)
    assert curve[-1] == pytest.approx((100.0, 0.1), rel=0.001)


def test_other_tools_read_it() -> None:
    step = describe_step(np.full(10, 0.25))
    found = HdrHistogram.decode(step["histogram"])
    assert found.get_total_count() == 10
    assert found.get_max_value() == pytest.approx(0.25e9, rel=0.001)
