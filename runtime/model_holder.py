"""The model that a worker serves, kept in step with the other workers by the board."""

import asyncio
import logging
import signal

from features_fast.errors import TicklineError
from runtime.artifact import ArtifactError, read
from runtime.board import (
    CHANGE,
    COMMITTED,
    ENGINE,
    LEADER,
    PREPARED,
    PROPOSED,
    SERVING,
    WITHDRAWN,
    Board,
    alive,
)
from runtime.comparison import CHANGE_WORDS, compare_models
from runtime.drift import Drift
from runtime.engines import UNWANTED
from runtime.memory import collect_cycles
from runtime.metrics import drift_words
from runtime.model import Model
from runtime.offer import offer_bars
from runtime.predictor import Predictor
from runtime.recent_rows import RecentRows
from runtime.reference import keeps_reference
from runtime.selfcheck import read_memory_limit
from runtime.settings import Settings

logger = logging.getLogger("tickline")


class ModelHolder:
    """Loads what is proposed, serves what is committed, and lets go of what is withdrawn.

    Parameters
    ----------
    board : Board
        The server's board.
    slot : memoryview
        This worker's slot.
    settings : Settings
        Say which engine runs the model, and how.

    Attributes
    ----------
    model : Model
        The served model.
    """

    def __init__(self, board: Board, slot: memoryview, settings: Settings) -> None:
        self._board = board
        self._slot = slot
        self._settings = settings
        self._standby: tuple[int, Model] | None = None
        number, self.model = self._load_committed()
        self._handled = number
        self._recent = RecentRows(len(self.model.card.feature_names), settings.recent_rows)
        self._install(number, self.model)
        while slot[SERVING] != board.header[COMMITTED]:
            # It was committed while the other one loaded: no one waits for a worker that starts, so it answers no
            # request before it serves what the others do.
            self._install(*self._load_committed())

    def make(self, content: bytes) -> Model:
        """Verify and warm a model, and the kernels where it takes bars; raises ArtifactError."""
        settings = self._settings
        keep = keeps_reference(settings.keep_reference, len(content), settings.workers, read_memory_limit())
        model = Model(Predictor(content, settings.engine_threads, settings.engine, keep, settings.model_sha256))
        offer_bars(model.card.feature_specification)
        return model

    def load(self, number: int) -> Model:
        """Make a model of the board's file with a number, and compare it with the served one on this worker's rows."""
        return self.compare(self.make(read(self._board.model_path(number))))

    def compare(self, model: Model) -> Model:
        """Tell the board what a model would change for the rows that this worker has predicted lately; return it."""
        change = compare_models(self.model.predictor.engine, model.predictor.engine, self._recent.rows())
        change.write(self._slot[CHANGE : CHANGE + CHANGE_WORDS])
        return model

    def _load_committed(self) -> tuple[int, Model]:
        """Return what all workers serve, and its number."""
        while True:
            number = self._board.header[COMMITTED]
            try:
                return number, self.make(read(self._board.model_path(number)))
            except ArtifactError:
                if number == self._board.header[COMMITTED]:
                    raise
                # Another model has been committed meanwhile, and the file of this one is gone.

    @property
    def under_way(self) -> bool:
        """Whether a model is on its way to the workers."""
        header = self._board.header
        proposed, committed = header[PROPOSED], header[COMMITTED]
        return proposed > max(committed, header[WITHDRAWN]) or committed != self._slot[SERVING]

    async def step(self) -> None:
        """Do what the board asks for now."""
        self._recent.arm(self.model.predictor)
        header = self._board.header
        proposed, committed, serving = header[PROPOSED], header[COMMITTED], self._slot[SERVING]
        if committed != serving:
            await self._catch_up(committed)
        elif proposed <= max(committed, header[WITHDRAWN]):
            self._standby = None
        elif not alive(header[LEADER]):
            logger.error("the worker that led a reload has ended; model %d is withdrawn", proposed)
            header[WITHDRAWN] = proposed
        elif proposed > self._handled:
            self._handled = proposed
            await self._prepare(proposed)

    async def _prepare(self, number: int) -> None:
        try:
            self._standby = number, await asyncio.to_thread(self.load, number)
        except Exception as error:
            logger.error("model %d is refused: %s", number, error, exc_info=not isinstance(error, TicklineError))
            self._board.refuse(self._slot, number, str(error) or type(error).__name__)
        else:
            self._slot[PREPARED] = number

    async def _catch_up(self, number: int) -> None:
        """Serve what is committed; it has been prepared, unless this worker came up while it was committed."""
        if self._standby is None or self._standby[0] != number:
            try:
                self._standby = await asyncio.to_thread(self._load_committed)
            except Exception:
                logger.critical("this worker cannot load the model that the others serve, and ends", exc_info=True)
                signal.raise_signal(signal.SIGTERM)
                return
        if self._slot[SERVING] < self._standby[0]:
            self.serve(*self._standby)

    def serve(self, number: int, model: Model) -> None:
        """Swap: one assignment, so that a reply is made by the old model or by the new one."""
        self._recent.disarm()
        self._install(number, model)
        collect_cycles()

    def _install(self, number: int, model: Model) -> None:
        self.model.predictor.end_observation()  # its bins are none of those that the next line may begin to count
        self.model = model
        self._standby = None
        self._handled = number
        self._announce(model)
        self._slot[SERVING] = number

    def handled(self, number: int) -> None:
        """Leave a model that is about to be proposed to the caller, who has loaded it."""
        self._handled = number

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
