"""A control group of one's own, which bounds processor time and memory as a container's limits do."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from bench.servers import MeasureError

ROOT = Path("/sys/fs/cgroup")

_PERIOD_MICROSECONDS = 100_000


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """Folders of a control group: one in version 2, one for each controller in version 1.

    Attributes
    ----------
    cpu, memory : Path
        Where processor time and where memory are bounded.
    """

    cpu: Path
    memory: Path

    def wrap(self, command: list[str]) -> list[str]:
        """Return a command that joins the group, and then becomes the given one."""
        files = " ".join(f'"{folder}/cgroup.procs"' for folder in sorted({self.cpu, self.memory}))
        script = f'for file in {files}; do echo $$ > "$file" || exit 1; done; exec "$@"'
        return ["/bin/sh", "-c", script, "sh", *command]

    def throttling(self) -> tuple[int, int]:
        """Return in how many periods processes ran until now, and in how many of them they were stopped."""
        lines = (self.cpu / "cpu.stat").read_text().splitlines()
        values = {name: int(value) for name, value in (line.split() for line in lines)}
        return values["nr_periods"], values["nr_throttled"]


@contextmanager
def bounded(cpus: float, mebibytes: int, root: Path = ROOT) -> Iterator[ControlGroup]:
    """Make a control group for as long as the block runs; its processes must have ended before.

    Parameters
    ----------
    cpus : float
        Processors' worth of time in every 100 ms.
    mebibytes : int
        Most memory.
    root : Path
        Where control groups are.

    Raises
    ------
    MeasureError
        Where no group can be made; that needs root, and in version 2 a root that hands on `cpu` and `memory`.
    """
    quota, size = int(cpus * _PERIOD_MICROSECONDS), mebibytes * 2**20
    unified = (root / "cgroup.controllers").exists()
    made: list[Path] = []
    try:
        try:
            for parent in [root] if unified else [root / "cpu", root / "memory"]:
                made.append(Path(mkdtemp(prefix="tickline-", dir=parent)))
            cpu, memory = made[0], made[-1]
            if unified:
                (cpu / "cpu.max").write_text(f"{quota} {_PERIOD_MICROSECONDS}")
                (memory / "memory.max").write_text(str(size))
            else:
                (cpu / "cpu.cfs_period_us").write_text(str(_PERIOD_MICROSECONDS))
                (cpu / "cpu.cfs_quota_us").write_text(str(quota))
                (memory / "memory.limit_in_bytes").write_text(str(size))
        except OSError as error:
            raise MeasureError(f"no control group in {root}: {error}; needs root, and cpu and memory there") from None
        yield ControlGroup(cpu, memory)
    finally:
        for folder in made:
            with suppress(OSError):
                os.rmdir(folder)
