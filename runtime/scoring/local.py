"""All cores of this machine."""

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Event, Lock

from features_fast.cores import usable_cores
from runtime.predictor import Predictor
from runtime.scoring.chain import Progress, score_chain
from runtime.scoring.job import Job


def threads_for(chains: int, cores: int) -> tuple[int, int]:
    """Return how many chains are worked on at once, and the threads that each may use."""
    workers = max(1, min(cores, chains))
    return workers, max(1, cores // workers)


def model_threads(chains: int, predictor: Predictor) -> int:
    """Return the threads that a model is worth: as many as a chain has, but one where its chunks take a moment.

    Then the threads that read and write are the better use of the other cores.
    """
    _, threads = threads_for(chains, usable_cores())
    return 1 if predictor.takes_a_moment(predictor.chunk_rows) else threads


def run(job: Job, predictor: Predictor, progress: Progress) -> None:
    """Score a job's chains, as many at once as there are cores; raises the first error of any."""
    chains = len(job.plan.chains)
    workers, threads = threads_for(chains, usable_cores())
    lock, stopped = Lock(), Event()

    def told(rows: int) -> None:
        if stopped.is_set():
            raise _StoppedError
        with lock:
            progress(rows)

    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(score_chain, job, number, predictor, threads > 1, told) for number in range(chains)]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)


class _StoppedError(Exception):
    """Ends the work of other threads after an error; nobody sees it."""
