"""Processor time of processes."""

import os
import subprocess
import sys

from bench.processes import Process, family, parse, tree_cpu_seconds, tree_mebibytes

_PARENT = """
import subprocess, sys
code = "sum(range(20_000_000)); print(1, flush=True); input()"
child = subprocess.Popen([sys.executable, "-c", code], stdin=0, start_new_session=True)
input()
"""


def test_a_line_of_proc_is_read_whatever_the_process_is_called() -> None:
    state = "7 (a name) (x) S 1 7 9 0 -1 4194560 100 0 0 0 120 30 9 9 20 0 1 0 5 6 7"
    assert parse(state) == Process(pid=7, parent=1, session=9, ticks=150, born=5)


def test_children_count() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        found = tree_cpu_seconds(process.pid)
        assert len(family(process.pid)) == 2, "a child counts that has left the session"
        assert tree_mebibytes(process.pid) > 10
        with open(f"/proc/{process.pid}/stat") as state:
            own = parse(state.read()).ticks / os.sysconf("SC_CLK_TCK")
        process.communicate(b"\n\n")
    assert found > own
    assert tree_cpu_seconds(process.pid) == 0
    assert tree_mebibytes(process.pid) == 0
