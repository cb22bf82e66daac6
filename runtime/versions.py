"""The model files that the server keeps beside the served one, so that it can go back without the file it came from.

They are on the board, in memory or wherever `TMPDIR` points, and end with the server. A list beside them says which was
served before which.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from features_fast.errors import TicklineError
from runtime.board import COMMITTED, Board
from runtime.predictor import Predictor


class VersionError(TicklineError):
    """A version that is not kept, or more than one that is meant."""


class KeptVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A model file that the server keeps.

    Attributes
    ----------
    version, sha256 : str
        Either one picks it at `/reload`.
    size_bytes : int
        Its size.
    created : str
        When it was exported.
    served : bool
        Whether it is the one that is served.
    rollback : bool
        Whether a rollback serves it.
    """

    version: str
    sha256: str
    size_bytes: int
    created: str
    served: bool
    rollback: bool


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A kept file: its number on the board, and the SHA-256 of the one that was served before it."""

    number: int
    version: str
    sha256: str
    size_bytes: int
    created: str
    before: str | None


_ENTRIES = msgspec.json.Decoder(list[Entry])


class Versions:
    """The kept files, the one that was served last at the end. Who holds the board's right to reload may change them.

    Parameters
    ----------
    board : Board
        The server's board.
    most : int
        How many files stay, the served one included.
    """

    def __init__(self, board: Board, most: int) -> None:
        self._board = board
        self._most = most
        self._path = board.folder / "versions.json"

    def describe(self, served: Predictor) -> list[KeptVersion]:
        """Return what is kept, beside the model that the asking worker serves."""
        entries = self._entries(served)
        before = next(entry.before for entry in entries if entry.sha256 == served.sha256)
        return [
            KeptVersion(
                version=entry.version,
                sha256=entry.sha256,
                size_bytes=entry.size_bytes,
                created=entry.created,
                served=entry.sha256 == served.sha256,
                rollback=entry.sha256 == before,
            )
            for entry in entries
        ]

    def find(self, name: str, served: Predictor) -> Entry:
        """Return the file of a version, or of a SHA-256; raises VersionError."""
        entries = self._entries(served)
        found = [entry for entry in entries if name in (entry.version, entry.sha256)]
        if len(found) > 1:
            raise VersionError(f"{len(found)} kept files have this version; pick one by its sha256: {_sums(found)}")
        if not found:
            kept = ", ".join(entry.version for entry in entries)
            raise VersionError(f"no such version is kept; kept are {kept}")
        return found[0]

    def before(self, served: Predictor) -> Entry:
        """Return the file that was served before the one that is; raises VersionError."""
        entries = {entry.sha256: entry for entry in self._entries(served)}
        before = entries[served.sha256].before
        if before is None:
            raise VersionError("there is no earlier one to go back to")
        if before not in entries:
            raise VersionError(f"the model that was served before this one is no longer kept: sha256 {before}")
        return entries[before]

    def add(self, number: int, model: Predictor, served: Predictor, is_rollback: bool) -> None:
        """Put the file with a number at the end, before it is committed; `served` is the model until then.

        A rollback leaves the file's own past as it is, so that the next one goes back further.
        """
        entries = self._entries(served)
        past = next((entry.before for entry in entries if entry.sha256 == model.sha256), None)
        before = past if is_rollback or model.sha256 == served.sha256 else served.sha256
        others = [entry for entry in entries if entry.sha256 != model.sha256]
        self._write([*others, _describe(number, model, before)])

    def prune(self, served: Predictor) -> None:
        """Forget the files beyond those that may stay, and what reloads left that did not come to their end."""
        entries = self._entries(served)[-self._most :]
        self._write(entries)
        numbers = {self._board.header[COMMITTED], *(entry.number for entry in entries)}
        for path in set(self._board.folder.glob("*.onnx")) - {self._board.model_path(number) for number in numbers}:
            path.unlink()

    def _entries(self, served: Predictor) -> list[Entry]:
        """Return all entries; the first model that a server serves is in no list yet."""
        try:
            entries = _ENTRIES.decode(self._path.read_bytes())
        except FileNotFoundError:
            entries = []
        if all(entry.sha256 != served.sha256 for entry in entries):
            entries.append(_describe(self._board.header[COMMITTED], served, None))
        return entries

    def _write(self, entries: Sequence[Entry]) -> None:
        new = Path(f"{self._path}.new")
        new.write_bytes(msgspec.json.encode(entries))
        new.replace(self._path)


def _describe(number: int, model: Predictor, before: str | None) -> Entry:
    card = model.card
    return Entry(
        number=number,
        version=card.version,
        sha256=model.sha256,
        size_bytes=model.size,
        created=card.created,
        before=before,
    )


def _sums(entries: Sequence[Entry]) -> str:
    return ", ".join(entry.sha256 for entry in entries)
