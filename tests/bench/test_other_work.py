"""What other processes take of the machine."""

import subprocess
import sys

from bench.other_work import OtherWork
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
