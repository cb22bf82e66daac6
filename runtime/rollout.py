"""A reload of all workers or of none: prepare everywhere, compare, commit, and answer when all serve the new model."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from features_fast.errors import TicklineError
from runtime.artifact import golden_rows, model_file, naming, read
from runtime.board import (
    ANSWERED,
    ASKED,
    CHANGE,
    COMMITTED,
    GOLDEN,
    LEADER,
    PID,
    PREPARED,
    PROPOSED,
    RECENT,
    REFUSED,
    SERVING,
    WITHDRAWN,
    Board,
    alive,
)
from runtime.comparison import CHANGE_WORDS, Change, ModelComparison, add_up, compare_models, read_change
from runtime.metrics import Metrics
from runtime.model import Model
from runtime.model_holder import ModelHolder
from runtime.reload_request import ReloadRequest
from runtime.settings import Settings
from runtime.versions import KeptVersion, Versions

logger = logging.getLogger("tickline")

_IDLE_SECONDS, _POLL_SECONDS = 0.1, 0.02
"""How often a worker looks at the board, and how often while a model is on its way: to look wakes its processor."""
_RETRY_SECONDS = 1.0  # after a step that failed
_TIMEOUT_SECONDS = 60.0  # for all workers to prepare a model, and again to swap


class RolloutError(TicklineError):
    """A reload that did not take effect; the old model serves on in every worker.

    Parameters
    ----------
    why : str
        One sentence.
    members : object
        Further members of the reply.
    """

    def __init__(self, why: str, **members: Any) -> None:
        super().__init__(why)
        self.members = members


class UnfinishedError(TicklineError):
    """A reload that took effect, but not in every worker within the time that it has."""


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """What a reload did.

    Attributes
    ----------
    workers : int
        Worker processes that answer requests, all of which serve the model now.
    seconds : float
        How long it took.
    comparison : ModelComparison
        What it changes.
    """

    status: str
    model_version: str
    previous_version: str
    sha256: str
    workers: int
    seconds: float
    comparison: ModelComparison


class Rollouts:
    """Reloads that this worker leads, one at a time over all workers.

    Parameters
    ----------
    board : Board
        The server's board.
    slot : memoryview
        This worker's slot.
    holder : ModelHolder
        Holds this worker's model.
    metrics : Metrics
        Count reloads.
    settings : Settings
        Say where the model file is, and how large it may be.
    """

    def __init__(
        self, board: Board, slot: memoryview, holder: ModelHolder, metrics: Metrics, settings: Settings
    ) -> None:
        self._board = board
        self._slot = slot
        self._holder = holder
        self._metrics = metrics
        self._path = model_file(settings.model_path)
        self._most_bytes = settings.max_model_bytes
        self._versions = Versions(board, settings.keep_versions)

    async def follow(self) -> None:
        """Do what the board asks for, of any worker or of one of them, until cancelled."""
        header = self._board.header
        while True:
            try:
                await self._holder.step()
                if header[ASKED] > header[ANSWERED]:
                    await self._answer_signal()
            except Exception:
                logger.exception("this worker could not follow the others; it tries again")
                await asyncio.sleep(_RETRY_SECONDS)
            await asyncio.sleep(_POLL_SECONDS if self._holder.under_way else _IDLE_SECONDS)

    async def _answer_signal(self) -> None:
        """Reload because a signal asked for it, unless another worker does."""
        header = self._board.header
        try:
            with self._board.reloading():
                asked = header[ASKED]
                if asked > header[ANSWERED]:
                    header[ANSWERED] = asked
                    await self._count(ReloadRequest())
        except BlockingIOError:
            pass  # it is answered by who holds the lock, or after that
        except TicklineError:
            pass  # the log has it

    async def reload(self, request: ReloadRequest) -> Rollout:
        """Serve the model file as it is now, or a kept one, in all workers or in none.

        Raises
        ------
        ArtifactError
            Where the file is refused.
        VersionError
            Where no kept file is the one that is asked for.
        RolloutError
            Where another reload is under way, the file has other features or labels, a worker refuses the model or
            ends before it has prepared it, or a bound of the request is exceeded.
        UnfinishedError
            Where a worker does not take the step that no one can undo.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(self._board.reloading())
            except OSError as error:
                self._metrics.reloaded("failure")
                busy = isinstance(error, BlockingIOError)
                why = "another reload is under way" if busy else f"{self._board.folder}: {error.strerror}"
                raise RolloutError(why) from None
            return await self._count(request)

    def kept(self) -> list[KeptVersion]:
        """Return what can be picked and what a rollback would serve."""
        return self._versions.describe(self._holder.model.predictor)

    async def _count(self, request: ReloadRequest) -> Rollout:
        """Lead a reload, count its result and log it."""
        try:
            rollout = await self._lead(request)
        except Exception as error:
            self._metrics.reloaded("failure")
            if isinstance(error, UnfinishedError):
                logger.error("reload: %s", error)
            elif isinstance(error, TicklineError):
                logger.warning("reload refused, the served model stays: %s", error)
            raise
        self._metrics.reloaded("success")
        logger.info(
            "reloaded in %d worker(s) within %.3f s: version %s after %s; %s",
            *(rollout.workers, rollout.seconds, rollout.model_version, rollout.previous_version, rollout.comparison),
        )
        return rollout

    async def _lead(self, request: ReloadRequest) -> Rollout:
        started = time.perf_counter()
        header, previous = self._board.header, self._holder.model
        if self._slot[SERVING] != header[COMMITTED]:
            raise RolloutError("this worker does not serve what was committed last yet; try again")
        header[LEADER] = os.getpid()
        header[WITHDRAWN] = max(header[WITHDRAWN], header[PROPOSED])  # what a leader left that was killed
        path = self._find(request, previous)
        content, model, golden = await asyncio.to_thread(self._load, path, previous)
        number = await asyncio.to_thread(self._store, content)
        del content
        try:
            self._holder.handled(number)
            header[PROPOSED] = number
            comparison = ModelComparison(golden=golden, recent=await self._prepared(number))
            self._check(comparison, request)
            with self._room():
                self._versions.add(number, model.predictor, previous.predictor, request.rollback)
        except BaseException:
            header[WITHDRAWN] = number
            self._board.model_path(number).unlink(missing_ok=True)
            raise
        header[COMMITTED] = number
        self._holder.serve(number, model)
        workers = await self._served(number)
        try:
            self._versions.prune(model.predictor)
        except OSError:
            logger.exception("files that are no longer kept could not be deleted; the next reload tries again")
        return Rollout(
            status="reloaded",
            model_version=model.card.version,
            previous_version=previous.card.version,
            sha256=model.predictor.sha256,
            workers=workers,
            seconds=round(time.perf_counter() - started, 4),
            comparison=comparison,
        )

    def _find(self, request: ReloadRequest, served: Model) -> Path:
        """Return the file that is asked for."""
        if request.rollback:
            return self._board.model_path(self._versions.before(served.predictor).number)
        if request.version is not None:
            return self._board.model_path(self._versions.find(request.version, served.predictor).number)
        return self._path

    def _load(self, path: Path, previous: Model) -> tuple[bytes, Model, Change]:
        """Return a file's content, its model, and what that changes for its golden rows."""
        with naming(path):
            content = read(path, self._most_bytes)
            model = self._holder.make(content)
        for what in ("feature_names", "labels"):
            if getattr(model.card, what) != getattr(previous.card, what):
                raise RolloutError(f"{path}: other {what} than the served model; start a new server for it")
        self._holder.compare(model)
        rows, _ = golden_rows(model.card, model.predictor.certificate)
        return content, model, compare_models(previous.predictor.engine, model.predictor.engine, rows)

    def _store(self, content: bytes) -> int:
        with self._room():
            return self._board.store_model(content)

    @contextmanager
    def _room(self) -> Iterator[None]:
        """Say that what is written does not fit, in words of a reload."""
        try:
            yield
        except OSError as error:
            raise RolloutError(f"{self._board.folder}: no room for the model file: {error.strerror}") from None

    def _check(self, comparison: ModelComparison, request: ReloadRequest) -> None:
        """Publish a comparison, and refuse one that exceeds a bound."""
        header = self._board.header
        comparison.golden.write(header[GOLDEN : GOLDEN + CHANGE_WORDS])
        comparison.recent.write(header[RECENT : RECENT + CHANGE_WORDS])
        excess = comparison.excess(request.max_flips, request.max_probability_change)
        if excess:
            raise RolloutError(excess, comparison=comparison)

    async def _prepared(self, number: int) -> Change:
        """Return when every worker that serves has prepared a model: what it changes for rows that they had lately."""
        self._slot[PREPARED] = number
        processes: dict[int, int] = {}

        def waiting() -> int:
            serving = {index: slot[PID] for index, slot in self._board.live().items() if slot[SERVING]}
            processes.update({index: pid for index, pid in serving.items() if index not in processes})
            for index, pid in processes.items():
                slot = self._board.slot(index)
                if slot[PID] != pid or not alive(pid):
                    raise RolloutError(f"worker process {pid} ended before it had prepared the model")
                if slot[REFUSED] == number:
                    raise RolloutError(f"worker process {pid}: {self._board.take_refusal(slot)}")
            return sum(self._board.slot(index)[PREPARED] != number for index in processes)

        if left := await _until_none(waiting):
            raise RolloutError(
                f"{left} of {len(processes)} workers did not prepare the model within {_TIMEOUT_SECONDS:g} s"
            )
        slots = [self._board.slot(index) for index in processes]
        return add_up([read_change(slot[CHANGE : CHANGE + CHANGE_WORDS]) for slot in slots])

    async def _served(self, number: int) -> int:
        """Return when every worker that answers requests serves a model: how many they are.

        One that starts is not waited for: it serves what is committed from its first request on, and may never come up.
        """

        def serving() -> list[int]:
            return [slot[SERVING] for slot in self._board.live().values() if slot[SERVING]]

        if left := await _until_none(lambda: sum(served != number for served in serving())):
            raise UnfinishedError(
                f"the new model is committed, but {left} workers did not swap within {_TIMEOUT_SECONDS:g} s; "
                "they, or those that take their place, serve it as soon as they turn again"
            )
        return len(serving())


async def _until_none(waiting: Callable[[], int]) -> int:
    """Return 0 as soon as no one is waited for, or how many still are when the time is over."""
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while (left := waiting()) and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
    return left
