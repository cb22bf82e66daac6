"""The work on which features are measured, and the table of it: ``python -m bench.features [FILE [TICKERS]]``."""

import argparse
import gc
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from bench.arguments import count
from bench.feature_peers import Bars, pandas_columns, talib_columns
from bench.goals import judge
from bench.machine import processor
from bench.other_work import QUIET, WHOLE, OtherWork, wait_for_quiet, wait_for_whole_cores
from bench.outputs import output_file, write_output
from features_fast import FEATURE_NAMES, Stream, backend, compute, compute_last, compute_panel

_CACHE = 1 << 25
"""Bytes beyond which rows that are made anew cost more than those that the caller keeps: their pages are new too."""

_PANEL = (
    "all rows are kept and go to memory, 88 bytes a bar, where TA-Lib's columns of one ticker stay in the cache; and a "
    "processor that works on 512 bits in two halves, as Zen 4 does, has its floating-point units full with sums, "
    "divisions and the turning of columns into rows"
)

_TWO_CORES = "both cores write to one memory, and a thread that starts waits until the system lets it run"

TABLE = Path(__file__).parent.parent / "docs" / "features-benchmark.md"


@dataclass(frozen=True, slots=True)
class Work:
    """One piece of work, done by us and by a peer on the same bars.

    Attributes
    ----------
    name : str
        What is done.
    bars : int
        Bars in it, for times a bar; 0 if times are a call.
    peer : str
        Who does it too.
    ours, theirs : callable
        The work itself.
    reach, beyond : float
        The ratios that are asked for and hoped for, 0 where none is.
    cores : int
        Cores that may be used.
    reason : str
        Why the ratio may be below what is asked for.
    """

    name: str
    bars: int
    peer: str
    ours: Callable[[], object]
    theirs: Callable[[], object]
    reach: float = 0.0
    beyond: float = 0.0
    cores: int = 1
    reason: str = ""

    def result(self, ratio: float) -> str:
        """Return what a ratio means."""
        return judge(self.reach, self.beyond, lambda asked: ratio >= asked, self.reason)


def bars(count: int, seed: int = 0) -> Bars:
    """Return a random walk of bars."""
    random = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(0.01 * random.standard_normal(count)) / max(1.0, count / 10_000) ** 0.5)
    open = close * (1.0 + 0.004 * random.standard_normal(count))
    high = np.maximum(open, close) * (1.0 + 0.003 * random.random(count))
    low = np.minimum(open, close) * (1.0 - 0.003 * random.random(count))
    return open, high, low, close, np.floor(1e6 * random.random(count))


def series_work(count: int) -> Iterator[Work]:
    """Yield all features of one series."""
    fields = bars(count)
    out = np.empty((count, len(FEATURE_NAMES)), np.float32)
    frame = pd.DataFrame(dict(zip(("open", "high", "low", "close", "volume"), fields, strict=True)))

    def ours() -> object:
        return compute(*fields, out=out)

    yield Work(f"one series, {count:,} bars", count, "TA-Lib", ours, lambda: talib_columns(*fields), 4, 6)
    yield Work(f"one series, {count:,} bars", count, "pandas", ours, lambda: pandas_columns(frame), 20, 40)
    if out.nbytes > _CACHE:
        new = f"one series, {count:,} bars, new rows each time"
        yield Work(new, count, "TA-Lib", lambda: compute(*fields), lambda: talib_columns(*fields))


def panel_work(tickers: int, length: int = 2_520) -> Iterator[Work]:
    """Yield all features of many tickers."""
    fields = bars(tickers * length)
    offsets = np.arange(tickers + 1, dtype=np.int64) * length
    out = np.empty((tickers * length, len(FEATURE_NAMES)), np.float32)
    name = f"panel, {tickers:,} tickers x {length:,} bars"

    def ours(threads: int) -> object:
        return compute_panel(*fields, offsets, out=out, threads=threads)

    def theirs() -> None:
        open, high, low, close, volume = fields
        for start in range(0, tickers * length, length):
            part = slice(start, start + length)
            talib_columns(open[part], high[part], low[part], close[part], volume[part])

    def in_turn() -> None:
        half = tickers // 2 & -8  # tickers are computed eight at a time
        cores = os.sched_getaffinity(0)
        for core, first, last in zip(sorted(cores), (0, half), (half, tickers), strict=True):
            os.sched_setaffinity(0, {core})
            rows = slice(first * length, last * length)
            open, high, low, close, volume = (field[rows] for field in fields)
            some = offsets[: last - first + 1]
            compute_panel(open, high, low, close, volume, some, out=out[rows], threads=1)
        os.sched_setaffinity(0, cores)

    total = tickers * length
    yield Work(name, total, "TA-Lib, ticker by ticker", lambda: ours(1), theirs, 5, 10, reason=_PANEL)
    yield Work(f"{name}, two cores", total, "one core at a time", lambda: ours(2), in_turn, 1.8, 1.9, 2, _TWO_CORES)


def newest_work(count: int) -> Work:
    """Return the features of the newest bar of a window."""
    fields = bars(count)
    return Work(
        f"newest row, {count:,} bars", 0, "TA-Lib", lambda: compute_last(*fields), lambda: talib_columns(*fields)
    )


def stream_work() -> Work:
    """Return an update of a stream, against TA-Lib, which computes a window of 250 bars again."""
    fields = bars(250)
    stream = Stream()
    stream.extend(*fields)
    updates = [tuple(row) for row in np.column_stack(fields).tolist()]
    place = 0

    def ours() -> object:
        nonlocal place
        place = (place + 1) % 250
        return stream.update(updates[place])

    return Work("streaming update", 0, "TA-Lib, 250 bars again", ours, lambda: talib_columns(*fields), 50, 200)


def all_work(tickers: int) -> Iterator[Work]:
    """Yield everything that is measured."""
    for length in (250, 10_000, 1_000_000):
        yield from series_work(length)
    yield from panel_work(tickers)
    for length in (60, 250, 1_000):
        yield newest_work(length)
    yield stream_work()


def timed(work: Callable[[], object], calls: int) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - start) / calls


def paired(work: Work, seconds: float = 3.0) -> tuple[list[float], list[float]]:
    """Time both sides in turn, in short rounds, for about some seconds: what disturbs one disturbs the other."""
    work.ours()
    slow = timed(work.theirs, 1)
    calls = max(1, int(2e-3 / slow))
    quick_calls = max(1, int(calls * slow / max(timed(work.ours, 3), 1e-7) / 4))
    rounds = min(400, max(7, int(seconds / (slow * calls))))
    ours, theirs = [], []
    gc.disable()
    for _ in range(rounds):
        ours.append(timed(work.ours, quick_calls))
        theirs.append(timed(work.theirs, calls))
    gc.enable()
    return ours, theirs


_IMPORT = """
import time, numpy
def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
before, start = resident(), time.perf_counter()
import features_fast
print((time.perf_counter() - start) * 1e3, (resident() - before) / 1024)
"""


def import_cost(processes: int = 15) -> tuple[float, float]:
    """Return milliseconds and megabytes of importing features_fast where numpy is loaded, medians over processes."""
    costs = []
    for _ in range(processes):
        done = subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True)
        costs.append([float(number) for number in done.stdout.split()])
    return statistics.median(cost[0] for cost in costs), statistics.median(cost[1] for cost in costs)


def _time(seconds: float, work: Work) -> str:
    if work.bars:
        return f"{seconds / work.bars * 1e9:.1f} ns/bar"
    return f"{seconds * 1e6:.2f} us, {1 / seconds:,.0f}/s"


def row(work: Work) -> str:
    """Measure one piece of work and return its line of the table."""
    wait_for_quiet()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[-work.cores :])
    if work.cores > 1:
        wait_for_whole_cores()
    others = OtherWork()
    ours, theirs = paired(work)
    os.sched_setaffinity(0, cores)
    busy = others.share()
    ratio = statistics.median(theirs) / statistics.median(ours)
    low, high = np.percentile(np.array(theirs) / np.array(ours), [25, 75])
    asked = f"{work.reach:g}x | {work.beyond:g}x" if work.reach else "- | -"
    cells = (
        work.name,
        work.peer,
        _time(statistics.median(ours), work),
        _time(statistics.median(theirs), work),
        f"**{ratio:.1f}x**",
        f"{low:.1f}-{high:.1f}",
        f"{busy:.0%}",
        asked,
        work.result(ratio),
    )
    return f"| {' | '.join(cells)} |"


def table(tickers: int) -> str:
    """Measure everything and return the document."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "pandas", "TA-Lib"))
    rows = "\n".join(row(work) for work in all_work(tickers))
    milliseconds, megabytes = import_cost()
    return f"""# Features: measured against TA-Lib and pandas

Made by `python -m bench.features`: {processor()}, {os.cpu_count()} cores, {platform.system()}, Python \
{platform.python_version()}, {versions}; kernels {backend()}.

Both sides work on the same bars, in turn, in one process, pinned to one core unless the line says two, in short rounds.
"ratio" is that of the medians; the middle half of the rounds had ratios within "25-75 %". Ours writes float32 rows of
all 22 features, checked bars included, to an array that the caller keeps unless the line says new; TA-Lib returns 22
float64 columns and pandas a frame, which is less work. "other work" is the share of the machine that other processes
took meanwhile; each line waits up to 20 s for less than {QUIET:.0%}. Two cores cannot show their gain where it is more.
One core at a time is half of the tickers on the one and then half on the other: of a machine that is shared, one core
may be slower than the other, and which one changes. A virtual machine may have two threads of one core for two
cores, for seconds: the line waits up to a minute until two threads that share nothing find {WHOLE:g} times the square
roots of one.

| work | against | ours | theirs | ratio | 25-75 % | other work | reach | beyond | result |
|---|---|---|---|---|---|---|---|---|---|
{rows}

`import features_fast` where numpy is loaded: {milliseconds:.0f} ms and {megabytes:.1f} MB (asked for: 60 ms and 12 MB).
"""


def main(arguments: list[str]) -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.features", description="Measure the kernels for features.")
    parser.add_argument("file", nargs="?", type=output_file, default=TABLE, help="of the table (default: the document)")
    parser.add_argument("tickers", nargs="?", type=count, default=5_000, help="of the panel (default: %(default)s)")
    options = parser.parse_args(arguments)
    write_output(options.file, table(options.tickers))


if __name__ == "__main__":
    main(sys.argv[1:])
