"""What other processes take of the machine."""

import subprocess
import sys

import pytest

from bench import other_work
from bench.other_work import OtherWork, gain_of_two_cores, wait_for_whole_cores
from bench.processes import tree_cpu_seconds
from tests.serving import wait_until


def test_a_process_counts_unless_it_is_measured() -> None:
    code = "print(1, flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        alone, beside = OtherWork(lambda: tree_cpu_seconds(process.pid)), OtherWork()
        before = tree_cpu_seconds(process.pid)
        wait_until(lambda: tree_cpu_seconds(process.pid) >= before + 0.2, "it has worked")
        known, unknown = alone.share(), beside.share()
        process.kill()
    assert 0.0 <= known < unknown <= 1.1


@pytest.mark.parametrize(("gains", "waited"), [([1.9], 0), ([1.1, 1.2, 1.8], 2), ([1.0] * 9, 5)])
def test_two_cores_are_waited_for(gains: list[float], waited: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeps: list[float] = []
    monkeypatch.setattr(other_work, "gain_of_two_cores", iter(gains).__next__)
    monkeypatch.setattr("bench.other_work.time.sleep", sleeps.append)
    wait_for_whole_cores(5)
    assert sleeps == [1.0] * waited


def test_two_threads_gain_something_positive() -> None:
    assert 0.0 < gain_of_two_cores() < 10.0
