"""What a worker found when it started: processors, threads, kernels, lane, and whether they fit together."""

import logging
from pathlib import Path

import msgspec

from features_fast import backend
from features_fast.cores import usable_cores
from runtime import codec
from runtime.settings import Settings

CGROUP = Path("/sys/fs/cgroup")
_UNBOUNDED = 1 << 60  # version 1 has no word for no limit: it gives the largest number of whole pages


class SelfCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker may use, and what it uses.

    Attributes
    ----------
    cores : int
        Processors that the process may run on.
    cpu_quota : float or None
        Processors' worth of time that the container may use; None where nothing bounds it.
    memory_limit : int or None
        Bytes that the container may use; None where nothing bounds it.
    workers, engine_threads : int
        Worker processes, and threads of the engine inside one batch in each.
    engine_spins : bool
        Whether idle threads of the engine burn time; never.
    feature_kernels, batch_codec : str
        Where the compiled kernels come from.
    lane : str
        What answers `/predict`.
    warnings : tuple of str
        What does not fit, one sentence each.
    """

    cores: int
    cpu_quota: float | None
    memory_limit: int | None
    workers: int
    engine_threads: int
    engine_spins: bool
    feature_kernels: str
    batch_codec: str
    lane: str
    warnings: tuple[str, ...]

    def log(self, logger: logging.Logger) -> None:
        """Write it as one line, and each warning as one more."""
        quota = "none" if self.cpu_quota is None else f"{self.cpu_quota:g}"
        logger.info(
            "%d cores, quota %s, %d worker(s), %d engine thread(s), kernels %s, codec %s, lane %s",
            *(self.cores, quota, self.workers, self.engine_threads),
            *(self.feature_kernels, self.batch_codec, self.lane),
        )
        for warning in self.warnings:
            logger.warning("%s", warning)


def read_cpu_quota(cgroup: Path = CGROUP) -> float | None:
    """Return how many processors' worth of time the control group allows, by version 2 or 1; None without a bound."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if quota in ("max", "-1"):
        return None
    return int(quota) / int(period)


def read_memory_limit(cgroup: Path = CGROUP) -> int | None:
    """Return how many bytes the control group allows, by version 2 or 1; None without a bound."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limit = int((cgroup / name).read_text())
        except (OSError, ValueError):  # no such file, or `max`
            continue
        return limit if limit < _UNBOUNDED else None
    return None


def check(settings: Settings, cgroup: Path = CGROUP) -> SelfCheck:
    """Look at the machine and the settings."""
    cores, quota = usable_cores(), read_cpu_quota(cgroup)
    may_use = cores if quota is None else min(cores, quota)
    threads = settings.workers * settings.engine_threads
    features, batches = backend(), codec.BACKEND
    warnings = []
    if threads > max(1.0, may_use):
        warnings.append(
            f"WORKERS {settings.workers} x ENGINE_THREADS {settings.engine_threads} = {threads} threads share "
            f"{may_use:g} processors: single predictions will wait for one another"
        )
    if settings.busy_poll_us and settings.workers > may_use:
        warnings.append(
            f"BUSY_POLL_US {settings.busy_poll_us}: {settings.workers} worker(s) burn a processor each, and there are "
            f"{may_use:g}"
        )
    if quota is not None and quota < 1:
        warnings.append(f"a CPU quota of {quota:g} stops a worker for part of every period: expect it in p99")
    for what, where in (("features", features), ("batches", batches)):
        if not where.startswith("ahead of time"):
            warnings.append(f"kernels of {what}: {where}")
    return SelfCheck(
        cores=cores,
        cpu_quota=quota,
        memory_limit=read_memory_limit(cgroup),
        workers=settings.workers,
        engine_threads=settings.engine_threads,
        engine_spins=False,
        feature_kernels=features,
        batch_codec=batches,
        lane=settings.lane.lower(),
        warnings=tuple(warnings),
    )
