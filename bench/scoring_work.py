"""One way to score a file of bars, timed in a process of its own: ``python -m bench.scoring_work WAY FILE MODELS OUT``.

Prints as JSON the seconds from opening the file to the scores on the disk, those of all processors, and the most memory
of the process in bytes; for the way `shares` the processor's seconds of each stage, on one core.
"""

import json
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

STAGES = ("read", "features", "predict", "write", "rest")
"""Of a job; the rest is the plan, the manifest and what goes on between the others."""

Work = Callable[[Path, Path], int]
"""Scores a file of bars into a place that does not exist, and returns how many rows it has scored."""


def ours(models: Path) -> Work:
    """Return what `tickline score` does."""
    from features_fast.cores import usable_cores
    from runtime.artifact import model_file
    from runtime.model import load_model
    from runtime.scoring import local
    from runtime.scoring.job import identify, open_job
    from runtime.scoring.plan import PART_ROWS

    alone, shared = (load_model(model_file(models), threads).predictor for threads in (1, usable_cores()))

    def score(bars: Path, out: Path) -> int:
        identity = identify(bars, alone, PART_ROWS)
        with open_job(out, identity, restart=False) as job:
            threads = local.model_threads(len(job.plan.chains), alone)
            local.run(job, shared if threads > 1 else alone, lambda rows: None)
            return job.finish(alone).rows.scored

    return score


def plain(models: Path, jobs: int | None = None) -> Work:
    """Return what a plain script does: pandas for the features, ticker by ticker, and scikit-learn for the answers."""
    import joblib
    import numpy as np
    import pandas as pd

    from bench.feature_peers import pandas_columns

    scaler, model = joblib.load(models / "scaler.joblib"), joblib.load(models / "model.joblib")
    if jobs is not None:
        model.n_jobs = jobs

    def score(bars: Path, out: Path) -> int:
        read = pd.read_parquet if bars.suffix == ".parquet" else pd.read_csv
        table = read(bars).rename(columns=str.lower)
        parts = []
        for _, series in table.groupby("ticker", sort=False):
            features = pandas_columns(series).iloc[49:]
            parts.append(features.assign(date=series["date"], ticker=series["ticker"]))
        rows = pd.concat(parts)
        inputs = rows.drop(columns=["date", "ticker"]).to_numpy(np.float32)
        answers = model.predict_proba(scaler.transform(inputs))
        rows[["date", "ticker"]].assign(down=answers[:, 0], up=answers[:, 1]).to_parquet(out, index=False)
        return len(rows)

    return score


WAYS: dict[str, Callable[[Path], Work]] = {
    "ours": ours,
    "plain": plain,
    "plain, all cores": lambda models: plain(models, -1),
}


def shares(models: Path, bars: Path, out: Path) -> dict[str, float]:
    """Return the processor's seconds of each stage of what `tickline score` does, chain by chain on one core."""
    from runtime.artifact import model_file
    from runtime.model import load_model
    from runtime.predictor import Predictor
    from runtime.scoring import chain
    from runtime.scoring.bar_rows import BarRows
    from runtime.scoring.job import identify, open_job
    from runtime.scoring.plan import PART_ROWS
    from runtime.scoring.reading import read_blocks

    spent = dict.fromkeys(STAGES, 0.0)
    within: list[float] = []

    def timed(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            started = time.process_time()
            within.append(0.0)
            try:
                return function(*arguments, **options)
            finally:
                took = time.process_time() - started
                spent[stage] += took - within.pop()
                if within:
                    within[-1] += took

        return call

    def read(*arguments: Any) -> Iterator[Any]:
        following = timed("read", iter(read_blocks(*arguments)).__next__)
        while True:
            try:
                yield following()
            except StopIteration:
                return

    alone = load_model(model_file(models), 1).predictor

    def score() -> None:
        with open_job(out, identify(bars, alone, PART_ROWS), restart=False) as job:
            for number in range(len(job.plan.chains)):
                chain.score_chain(job, number, alone, parallel=False, progress=lambda rows: None)
            job.finish(alone)

    for owner, name, function in (
        (chain, "read_blocks", read),
        (BarRows, "score", timed("features", BarRows.score)),
        (Predictor, "predict", timed("predict", Predictor.predict)),
        (chain.PartWriter, "add", timed("write", chain.PartWriter.add)),
        (chain.PartWriter, "close", timed("write", chain.PartWriter.close)),
    ):
        setattr(owner, name, function)
    timed("rest", score)()
    return spent


def main(arguments: list[str]) -> None:
    """Time one way."""
    way, bars, models, out = arguments[0], *map(Path, arguments[1:])
    if way == "shares":
        json.dump(shares(models, bars, out), sys.stdout)
        shutil.rmtree(out)
        return
    work = WAYS[way](models)
    started, busy = time.perf_counter(), time.process_time()
    rows = work(bars, out)
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    (shutil.rmtree if out.is_dir() else Path.unlink)(out)
    json.dump({"rows": rows, "seconds": seconds, "processor": busy, "memory": size}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
