"""One worker process: everything that its endpoints share."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from starlette.requests import Request

from features_fast import compilations
from runtime.admission import Admission
from runtime.authentication import Tokens
from runtime.board import ENDING, Board
from runtime.busy_poll import BusyPoll
from runtime.coalescer import Coalescer
from runtime.deadlines import in_time
from runtime.drift_metrics import DriftCollector
from runtime.known_heads import KnownHeads
from runtime.memory import keep_freed_memory
from runtime.metrics import WORDS, BoardCollector, Metrics, parse_time, render
from runtime.model import Model
from runtime.model_holder import ModelHolder
from runtime.reload_metrics import ReloadCollector
from runtime.reload_request import ReloadRequest
from runtime.rollout import Rollout, Rollouts
from runtime.scheduling import take_usual_slices
from runtime.selfcheck import check
from runtime.settings import Settings
from runtime.symbols import Symbols
from runtime.versions import KeptVersion

_Result = TypeVar("_Result")

_RENEWAL_SECONDS = 0.5  # between two looks at files of tokens


class Worker:
    """State of one worker, made when its event loop runs.

    Parameters
    ----------
    settings : Settings
        The server's settings.
    folder : Path
        The server's private folder, which holds its board.

    Raises
    ------
    ArtifactError
        Where the served model does not hold its certificate here.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        keep_freed_memory()
        self.settings = settings
        self.self_check = check(settings)
        self.board = Board(folder, WORDS)
        slot = self.board.claim()
        self.metrics = Metrics(slot)
        self._holder = ModelHolder(self.board, slot, settings)
        self.metrics.compiled(compilations())
        self.symbols = Symbols(settings.max_symbols, self.metrics)
        self._rollouts = Rollouts(self.board, slot, self._holder, self.metrics, settings)
        self._following = asyncio.create_task(self._rollouts.follow())
        # One thread: a second batch waits for the first one instead of slowing single predictions down twice as much.
        self._batches = ThreadPoolExecutor(1, "batch", _give_way)
        self.known_heads = KnownHeads()
        self.admission = Admission(
            settings.max_in_flight, settings.max_queued_rows, settings.max_queued_ms / 1e3, self.metrics
        )
        loop = asyncio.get_running_loop()
        span = settings.busy_poll_us
        self.busy_poll = BusyPoll(loop, span, self.admission) if span else None
        self.coalescer = Coalescer(self, loop)
        self.predict_tokens = Tokens(
            "PREDICT_TOKENS", settings.predict_tokens, "PREDICT_TOKEN_FILE", settings.predict_token_file
        )
        self.reload_tokens = Tokens(
            "RELOAD_TOKEN", settings.reload_token, "RELOAD_TOKEN_FILE", settings.reload_token_file
        )
        self._renewing = asyncio.create_task(self._renew_tokens())
        self.ready = True

    @property
    def model(self) -> Model:
        """The served model; take it once for a reply."""
        return self._holder.model

    async def run_batch(self, work: Callable[[], _Result]) -> _Result:
        """Do a batch's work off the event loop, after the batches before it; raises Problem where that is too late."""
        with self.admission.turn() as guard:
            return await asyncio.get_running_loop().run_in_executor(self._batches, in_time(guard(work)))

    def count(self, labels: Sequence[int]) -> None:
        """Count predictions: how many there are of each class."""
        for label, count in enumerate(labels):
            self.metrics.predicted(label, count)

    async def reload(self, request: ReloadRequest) -> Rollout:
        """Serve the model file as it is now, or a kept one, in all workers or in none; raises TicklineError."""
        return await self._rollouts.reload(request)

    def kept_versions(self) -> list[KeptVersion]:
        """Return the model files that a reload can pick without the file that they came from."""
        return self._rollouts.kept()

    async def _renew_tokens(self) -> None:
        """Read files of tokens again when they have changed, until cancelled."""
        while True:
            await asyncio.sleep(_RENEWAL_SECONDS)
            self.renew_tokens()

    def renew_tokens(self) -> None:
        """Read files of tokens again where they have changed; heads that were let in before are forgotten."""
        self.reload_tokens.refresh()
        if self.predict_tokens.refresh():
            self.known_heads.clear()

    def render_metrics(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics of all workers in the format that a scraper accepts, with its media type."""
        self.metrics.fold()
        self.metrics.compiled(compilations())  # a reload may bring the first model that takes bars
        card, engine = self.model.card, self.model.predictor.engine
        model = {"name": card.name, "version": card.version, "engine": engine.name}
        drift = DriftCollector(self.board, card, self.settings.drift_window_seconds)
        reloads = ReloadCollector(self.board)
        return render(BoardCollector(self.board, card.labels, model, parse_time(card.created)), accept, drift, reloads)

    def drain(self) -> None:
        """Say that this worker is about to stop, and let every reply be the last one on its connection."""
        self.ready = False
        self.known_heads.clear()

    def is_last(self) -> bool:
        """Tell whether no other worker goes on when this one stops."""
        return self.settings.workers == 1 or bool(self.board.header[ENDING])

    def end_with_all(self) -> None:
        """Know, and let all workers know, that none of them goes on."""
        self.board.header[ENDING] = 1

    async def stop(self) -> None:
        """Finish what runs."""
        self.ready = False
        for task in (self._following, self._renewing):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._batches.shutdown()
        self.metrics.fold()


def _give_way() -> None:
    """Let this thread have the processor after the event loop's, where there are more threads than cores."""
    take_usual_slices()
    os.nice(10)  # Linux counts niceness by thread


def get_worker(request: Request) -> Worker:
    """Return the worker that a request came to."""
    worker: Worker = request.app.state.worker
    return worker
