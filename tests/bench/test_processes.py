"""Processor time of processes."""

import os
import subprocess
import sys

from bench.processes import parse, tree_cpu_seconds

_PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "sum(range(20_000_000)); print(1, flush=True); input()"], stdin=0)
input()
"""


def test_a_line_of_proc_is_read_whatever_the_process_is_called() -> None:
    state = "7 (a name) (x) S 1 7 9 0 -1 4194560 100 0 0 0 120 30 9 9 20 0 1 0 5 6 7"
    assert parse(state) == (7, 1, 9, 150)


def test_children_count() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        found = tree_cpu_seconds(process.pid)
        with open(f"/proc/{process.pid}/stat") as state:
            own = parse(state.read())[3] / os.sysconf("SC_CLK_TCK")
        process.communicate(b"\n\n")
    assert found > own
    assert tree_cpu_seconds(process.pid) == 0
