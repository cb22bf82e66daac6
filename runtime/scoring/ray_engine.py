"""The cores of a Ray cluster, or of this machine by Ray: every actor has a predictor, and runs `score_chain`."""

import logging
import os
import socket
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read at import

import numpy as np
import ray
import ray.data

from features_fast.cores import usable_cores
from features_fast.errors import TicklineError
from runtime.engine import name_of
from runtime.model import load_model
from runtime.scoring.chain import Progress, score_chain
from runtime.scoring.job import Job

_CHAIN, _ROWS = "chain", "rows"

_CONNECT_SECONDS = 10.0  # for a cluster to answer

_OBJECTS = 100 << 20
"""Bytes that Ray may share between processes of this machine, near its least: here it is a few numbers a chain."""


class ChainScorer:
    """An actor: scores chains of a job, whose folder, input and model it sees under the same paths as the driver.

    Parameters
    ----------
    folder, model : str
        The job's folder, and the model file.
    wish : str
        The engine of the model that is asked for.

    Raises
    ------
    TicklineError
        If the model here, or what runs it, is another one than the job's.
    """

    def __init__(self, folder: str, model: str, wish: str) -> None:
        self._job = Job.load(Path(folder))
        self._predictor = load_model(Path(model), threads=1, wish=wish).predictor
        identity = self._job.plan.identity
        found = (self._predictor.sha256, name_of(self._predictor.engine))
        if found != (identity.model, identity.engine):
            raise TicklineError(f"{model}: expected {identity.engine} with the job's model, got {found[1]}: {found[0]}")

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Score the chains of a batch; return how many rows each has."""
        rows = [
            score_chain(self._job, int(number), self._predictor, parallel=False, progress=lambda _: None).read
            for number in batch[_CHAIN]
        ]
        return {_CHAIN: batch[_CHAIN], _ROWS: np.array(rows)}


def run(job: Job, model: Path, wish: str, address: str | None, workers: int | None, progress: Progress) -> None:
    """Score a job's chains on Ray.

    Parameters
    ----------
    job : Job
        The job.
    model : Path
        The model file.
    wish : str
        The engine of the model that is asked for.
    address : str or None
        A running cluster; None starts Ray on this machine for this job.
    workers : int or None
        Actors at most; None is one a core of the cluster.
    progress : callable
        Told of the rows of chains that are done.

    Raises
    ------
    TicklineError
        If the cluster cannot be reached, or a chain cannot be scored.
    """
    chains = len(job.plan.chains)
    if not chains:
        return
    try:
        _begin(address)
    except Exception as error:  # what Ray raises here has no common base
        raise TicklineError(f"Ray at {address or 'this machine'}: cannot be used: {_line(error)}") from None
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        actors = min(chains, workers or int(ray.cluster_resources().get("CPU", 1)))
        done = ray.data.from_items([{_CHAIN: number} for number in range(chains)], override_num_blocks=chains)
        done = done.map_batches(
            ChainScorer,
            fn_constructor_args=(str(job.folder.resolve()), str(model), wish),
            batch_size=1,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=actors),
        )
        for chain in done.iter_rows():
            progress(chain[_ROWS])
    except Exception as error:  # nor here: an actor's error comes wrapped
        raise TicklineError(f"Ray: {_line(error)}") from None
    finally:
        ray.shutdown()


def _begin(address: str | None) -> None:
    """Connect to a cluster; without an address start Ray here, also where a cluster runs that Ray would find."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        cores = usable_cores()
        ray.init("local", num_cpus=cores, object_store_memory=_OBJECTS, include_dashboard=False, **quiet)
        return
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise TicklineError("expected HOST:PORT or auto")
        # Ray waits for minutes for what does not answer.
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    ray.init(address, **quiet)


def _line(error: BaseException) -> str:
    """Return what went wrong at the bottom, in one line."""
    while (cause := getattr(error, "cause", None) or error.__cause__) is not None:
        error = cause
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
