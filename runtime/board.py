"""The board: one shared memory segment with a slot per worker, and the model files that all workers serve.

Counters, readiness and the steps of a reload live here, so that every worker can render the metrics of all of them, and
a worker that is replaced loses nothing: its successor goes on counting in the same slot.
"""

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SLOTS = 128
"""More than the 64 workers that can be set, so that a rolling restart always finds a free one."""

PROPOSED, COMMITTED, WITHDRAWN, LEADER, ASKED, ANSWERED, ENDING = 0, 1, 2, 3, 4, 5, 6
GOLDEN, RECENT, HEADER_WORDS = 8, 12, 16
"""Words of the header: numbers of models, the process that leads a reload, signals that asked for one and those that
were answered, whether all workers end, and two changes (`runtime.comparison`) of the last reload."""

PID, PREPARED, REFUSED, SERVING, ENGINE, CHANGE, SLOT_HEADER_WORDS = 0, 1, 2, 3, 4, 8, 16
"""First words of a slot: its process, numbers of models, the engine, and the change on this worker's recent rows."""


class Board:
    """The shared memory and the model files of one server.

    Words are unsigned 64-bit integers, and each is written by one process at a time.

    Parameters
    ----------
    folder : Path
        Private folder of the server; it holds the segment, a lock and the model files.
    words : int
        Length of the part of a slot that its worker counts in.
    """

    def __init__(self, folder: Path, words: int) -> None:
        self.folder = folder
        self._stride = SLOT_HEADER_WORDS + words
        size = 8 * (HEADER_WORDS + SLOTS * self._stride)
        descriptor = os.open(folder / "board", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, size)  # sparse: pages of slots that no worker claims are never allocated
            self._words = memoryview(mmap.mmap(descriptor, size)).cast("Q")
        finally:
            os.close(descriptor)
        self.header = self._words[:HEADER_WORDS]

    def slot(self, index: int) -> memoryview:
        """Return the words of a slot."""
        start = HEADER_WORDS + index * self._stride
        return self._words[start : start + self._stride]

    def claim(self) -> memoryview:
        """Return the slot of this process: that of a dead worker where there is one, so that its counts live on."""
        with self._locked("claim"):
            for index in range(SLOTS):
                slot = self.slot(index)
                if not alive(slot[PID]):
                    slot[PID] = os.getpid()
                    slot[PREPARED] = slot[REFUSED] = slot[SERVING] = 0
                    return slot
        raise RuntimeError(f"all {SLOTS} worker slots are taken")

    def live(self) -> dict[int, memoryview]:
        """Return the slots of the workers that run, by index."""
        slots = {index: self.slot(index) for index in range(SLOTS)}
        return {index: slot for index, slot in slots.items() if alive(slot[PID])}

    def counts(self) -> NDArray[np.uint64]:
        """Return the sum over all workers, dead ones included, of the part that they count in."""
        slots = np.frombuffer(self._words, np.uint64)[HEADER_WORDS:].reshape(SLOTS, self._stride)
        used = slots[slots[:, PID] != 0]
        total: NDArray[np.uint64] = used[:, SLOT_HEADER_WORDS:].sum(axis=0, dtype=np.uint64)
        return total

    def model_path(self, number: int) -> Path:
        """Return the file of the model with a number."""
        return self.folder / f"{number}.onnx"

    def store_model(self, content: bytes) -> int:
        """Keep a model file under the next number, which no worker serves yet."""
        number = self.header[PROPOSED] + 1
        path = self.model_path(number)
        try:
            path.write_bytes(content)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return number

    def refuse(self, slot: memoryview, number: int, why: str) -> None:
        """Let the worker of a slot refuse a model, and say why."""
        with suppress(OSError):  # what keeps the worker from loading a model may keep it from writing too
            self._refusal_path(slot).write_text(why)
        slot[REFUSED] = number

    def take_refusal(self, slot: memoryview) -> str:
        """Return why the worker of a slot has refused a model, once."""
        path = self._refusal_path(slot)
        try:
            why = path.read_text()
        except FileNotFoundError:
            return "it refuses the model, and its log says why"
        path.unlink()
        return why

    def _refusal_path(self, slot: memoryview) -> Path:
        return self.folder / f"{slot[PID]}.refusal"

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Hold the right to change the model; raises BlockingIOError where another worker holds it."""
        with self._locked("reload", fcntl.LOCK_NB):
            yield

    @contextmanager
    def _locked(self, name: str, flags: int = 0) -> Iterator[None]:
        """Hold a lock that the system releases when its holder dies."""
        with open(self.folder / f"{name}.lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | flags)
            yield


def alive(pid: int) -> bool:
    """Tell whether a process runs: not one that has ended and waits to be buried by its parent."""
    if pid == 0:
        return False
    with suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b") ")[2][:1] not in (b"Z", b"X")
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
