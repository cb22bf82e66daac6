"""A reload of all workers or of none: propose, prepare everywhere, commit, swap."""

import asyncio
import logging
import time
from pathlib import Path

import msgspec

from features_fast.errors import TicklineError
from runtime.artifact import ArtifactError, naming, read
from runtime.board import COMMITTED, ENGINE, PREPARED, PROPOSED, REFUSED, SERVING, Board
from runtime.drift import Drift
from runtime.engines import UNWANTED
from runtime.metrics import drift_words
from runtime.model import Model
from runtime.offer import offer_bars
from runtime.predictor import Predictor
from runtime.reference import keeps_reference
from runtime.selfcheck import read_memory_limit
from runtime.settings import Settings

logger = logging.getLogger("tickline")

KEPT_MODELS = 3
"""Model files that stay on the board, the served one included."""

_POLL_SECONDS = 0.02
_TIMEOUT_SECONDS = 60.0


class RolloutError(TicklineError):
    """A reload that did not take effect; the old model serves on in every worker."""


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """What a reload did."""

    status: str
    model_version: str
    previous_version: str
    sha256: str
    workers: int
    seconds: float


class ModelHolder:
    """The model that this worker serves, kept in step with the other workers by the board.

    Parameters
    ----------
    board : Board
        The server's board.
    slot : memoryview
        This worker's slot.
    settings : Settings
        Say which engine runs the model, and how.
    """

    def __init__(self, board: Board, slot: memoryview, settings: Settings) -> None:
        self._board = board
        self._slot = slot
        self._settings = settings
        self._handled = self._serving = board.header[COMMITTED]
        self._standby: tuple[int, Model] | None = None
        self.model = self._load(self._serving)
        self._announce(self.model)
        slot[SERVING] = self._serving

    def _load(self, number: int) -> Model:
        return self._make(read(self._board.model_path(number)))

    def _make(self, content: bytes) -> Model:
        """Verify and warm a model, and the kernels where it takes bars."""
        settings = self._settings
        keep = keeps_reference(settings.keep_reference, len(content), settings.workers, read_memory_limit())
        model = Model(Predictor(content, settings.engine_threads, settings.engine, keep, settings.model_sha256))
        offer_bars(model.card.feature_specification)
        return model

    async def follow(self) -> None:
        """Prepare what is proposed and serve what is committed, until cancelled."""
        while True:
            await self._step()
            await asyncio.sleep(_POLL_SECONDS)

    async def _step(self) -> None:
        header, slot = self._board.header, self._slot
        proposed = header[PROPOSED]
        if proposed > self._handled:
            try:
                self._standby = proposed, await asyncio.to_thread(self._load, proposed)
                slot[PREPARED] = proposed
            except ArtifactError as error:
                logger.error("model %d is refused: %s", proposed, error)
                slot[REFUSED] = proposed
            self._handled = proposed
        committed = header[COMMITTED]
        if committed > self._serving and self._standby and self._standby[0] == committed:
            self._serve(*self._standby)

    def _serve(self, number: int, model: Model) -> None:
        """Swap: one assignment, so that a reply is made by the old model or by the new one."""
        self.model = model
        self._standby = None
        self._serving = self._handled = number
        self._announce(model)
        self._slot[SERVING] = number

    def _announce(self, model: Model) -> None:
        """Say in the log and in the metrics which engine runs the model, and why; count the drift of its rows."""
        choice, engine = model.predictor.choice, model.predictor.engine
        self._slot[ENGINE] = choice.number
        window, baseline = self._settings.drift_window_seconds, model.card.baseline
        if window and baseline is not None:
            model.predictor.observe = Drift(drift_words(self._slot), baseline, window).observe
        logger.log(
            logging.WARNING if choice.reason in UNWANTED else logging.INFO,
            "engine %s %s runs %s %s (%s): %s",
            *(engine.name, engine.version, model.card.name, model.card.version, choice.reason, choice.detail),
        )

    async def reload(self, path: Path) -> Rollout:
        """Serve the model in a file, in all workers or in none.

        Raises
        ------
        ArtifactError
            Where the file is refused.
        RolloutError
            Where another reload is under way, the file has other features or labels, or a worker refuses the model.
        """
        started = time.perf_counter()
        try:
            with self._board.reloading():
                return await self._lead(path, started)
        except BlockingIOError:
            raise RolloutError("another reload is under way") from None

    async def _lead(self, path: Path, started: float) -> Rollout:
        header, previous = self._board.header, self.model.card
        with naming(path):
            content = await asyncio.to_thread(read, path, self._settings.max_model_bytes)
            model = await asyncio.to_thread(self._make, content)
        for what in ("feature_names", "labels"):
            if getattr(model.card, what) != getattr(previous, what):
                raise RolloutError(f"{path}: other {what} than the served model; start a new server for it")
        number = self._board.store_model(content)
        self._handled = number  # this worker has prepared already
        self._slot[PREPARED] = number
        header[PROPOSED] = number
        await self._all_workers(PREPARED, number)
        header[COMMITTED] = number
        self._serve(number, model)
        workers = await self._all_workers(SERVING, number)
        self._board.model_path(number - KEPT_MODELS).unlink(missing_ok=True)
        return Rollout(
            status="reloaded",
            model_version=model.card.version,
            previous_version=previous.version,
            sha256=model.predictor.sha256,
            workers=workers,
            seconds=round(time.perf_counter() - started, 4),
        )

    async def _all_workers(self, step: int, number: int) -> int:
        """Wait until every worker that runs has taken a step; return how many there are."""
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while True:
            slots = self._board.live().values()
            if any(slot[REFUSED] == number for slot in slots):
                raise RolloutError("a worker refused the model; its log says why")
            waiting = sum(slot[step] < number for slot in slots)
            if not waiting:
                return len(slots)
            if time.monotonic() > deadline:
                raise RolloutError(f"{waiting} of {len(slots)} workers did not answer within {_TIMEOUT_SECONDS:g} s")
            await asyncio.sleep(_POLL_SECONDS)
