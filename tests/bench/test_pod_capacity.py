"""The capacity of a pod: how the autoscaler's target follows from it."""

import pytest

from bench.pod_capacity import SHARES, TARGET_SHARE, Trial, target


@pytest.mark.parametrize(("rate", "expected"), [(22_795.0, 14_000), (7_700.0, 5_000), (1_000.0, 650), (99.0, 64)])
def test_the_target_is_a_share_of_the_rate_rounded_down(rate: float, expected: int) -> None:
    assert target(rate) == expected
    assert target(rate) <= rate * TARGET_SHARE


def test_shares_fall_so_that_the_first_that_holds_is_the_highest() -> None:
    assert list(SHARES) == sorted(SHARES, reverse=True)


def test_a_trial_says_when_it_is_no_evidence() -> None:
    trial = Trial(rate=1000.0, p50=0.0005, p99=0.02, periods=30, stopped=4, client_is_limit=True)
    assert str(trial) == (
        "open loop: 1,000 requests/s: p50 0.50 ms, p99 20.00 ms, stopped in 4 of 30 periods; the client is the limit"
    )
