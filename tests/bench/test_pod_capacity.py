"""The capacity of a pod: how the autoscaler's target follows from it."""

import pytest

from bench.peer_environments import ROOT
from bench.pod_capacity import SHARES, TARGET_SHARE, Trial, target
from bench.report import results


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


def test_the_manifests_aim_at_what_was_measured_and_operations_tells_it() -> None:
    pod = results("pod")
    assert pod["target"] == target(pod["rate"])
    assert (pod["cpus"], pod["memory_limit"], pod["objective"]) == (0.5, 512, 0.01)
    manifest = (ROOT / "deploy" / "kubernetes" / "overlays" / "request-rate" / "request-rate.yaml").read_text()
    assert f'averageValue: "{pod["target"]}"' in manifest
    told = " ".join((ROOT / "docs" / "operations.md").read_text().split())
    cpu = pod["closed_loop"]["cpu"]
    assert f"answered {pod['rate']:,.0f} requests a second within the objective, at {cpu * 1e6:.1f} us of CPU" in told
    assert f"the {pod['target']:,} of the manifests" in told
    assert f"| {pod['target']:,} |" in told
