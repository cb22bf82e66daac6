"""What a worker found when it started: processors, threads, kernels, lane, and whether they fit together."""

import logging
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec

from features_fast import backend
from features_fast.cores import usable_cores
from runtime import codec
from runtime.settings import Settings

CGROUP = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
"""Says in which control groups this process is."""

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


def read_cpu_quota(cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> float | None:
    """Return how many processors' worth of time the control groups allow, version 2 or 1; None without a bound."""
    return min(filter(None, map(_read_quota, _groups(cgroup, membership, "cpu"))), default=None)


def read_memory_limit(cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> int | None:
    """Return how many bytes the control groups allow, version 2 or 1; None without a bound."""
    return min(filter(None, map(_read_limit, _groups(cgroup, membership, "memory"))), default=None)


def _groups(cgroup: Path, membership: Path, controller: str) -> Iterator[Path]:
    """Yield where the control group of this process may be, and every group around it, each of which bounds it too.

    A container sees its own group as the root. A service that systemd started sees it by its path, and so does a
    container that shares its host's namespace.
    """
    paths: dict[str, str] = {}
    try:
        for line in membership.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            paths.update(dict.fromkeys(controllers.split(","), path))  # that of version 2 is no controller's
    except (OSError, ValueError):
        pass
    for root, path in ((cgroup, paths.get("", "/")), (cgroup / controller, paths.get(controller, "/"))):
        own = PurePosixPath(path.lstrip("/"))
        yield from (root / group for group in (own, *own.parents))


def _read_quota(group: Path) -> float | None:
    """Return the processors' worth of time that one control group allows; None without a bound."""
    try:
        quota, period = (group / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (group / "cpu.cfs_quota_us").read_text().strip()
            period = (group / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if quota in ("max", "-1"):
        return None
    return int(quota) / int(period)


def _read_limit(group: Path) -> int | None:
    """Return the bytes that one control group allows; None without a bound."""
    for name in ("memory.max", "memory.limit_in_bytes"):
        try:
            limit = int((group / name).read_text())
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
