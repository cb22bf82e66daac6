"""Processor time and memory of processes, as Linux counts them in /proc."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def states() -> Iterator[str]:
    """Yield /proc/PID/stat of all processes."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            yield path.read_text()
        except OSError:  # it has ended since it was listed
            continue


@dataclass(frozen=True, slots=True)
class Process:
    """What a line of /proc/PID/stat says.

    Attributes
    ----------
    pid, parent, session : int
        Its number, that of its parent, and that of its session's leader.
    ticks : int
        Clock ticks of processor time, user's and system's.
    born : int
        When it started, in clock ticks of the machine: with `pid` it is no other process.
    """

    pid: int
    parent: int
    session: int
    ticks: int
    born: int


def parse(state: str) -> Process:
    """Read a line of /proc/PID/stat."""
    pid, fields = state.partition(" ")[0], state.rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return Process(int(pid), int(fields[1]), int(fields[3]), ticks, int(fields[19]))


def family(root: int) -> list[Process]:
    """Return a process, all of its session, and all below any of them; none where there is none."""
    known = [parse(state) for state in states()]
    pids = {process.pid for process in known if root in (process.pid, process.session)}
    found = -1
    while found != len(pids):
        found = len(pids)
        pids |= {process.pid for process in known if process.parent in pids}
    return [process for process in known if process.pid in pids]


def tree_cpu_seconds(root: int) -> float:
    """Return the processor time of a process, of its session, and of all below; 0 where there is none."""
    return sum(process.ticks for process in family(root)) / TICKS


def tree_mebibytes(root: int) -> float:
    """Return the memory of a process, of its session, and of all below; what some share counts once."""
    return sum(_kibibytes(process.pid) for process in family(root)) / 1024


def _kibibytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended since it was listed
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
