"""Processor time of processes, as Linux counts it in /proc."""

import os
from collections.abc import Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def states() -> Iterator[str]:
    """Yield /proc/PID/stat of all processes."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            yield path.read_text()
        except OSError:  # it has ended since it was listed
            continue


def parse(state: str) -> tuple[int, int, int, int]:
    """Return process, parent, session and clock ticks, user's and system's, of a line of /proc/PID/stat."""
    process, fields = state.partition(" ")[0], state.rpartition(")")[2].split()
    return int(process), int(fields[1]), int(fields[3]), int(fields[11]) + int(fields[12])


def tree_cpu_seconds(root: int) -> float:
    """Return the processor time of a process and of all below it; 0 where there is none."""
    known = [parse(state) for state in states()]
    family, found = {root}, -1
    while found != len(family):
        found = len(family)
        family |= {process for process, parent, _, _ in known if parent in family}
    return sum(ticks for process, _, _, ticks in known if process in family) / TICKS
