"""Files that are there whole or not at all, also after the power has failed."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

UNFINISHED = ".unfinished-"
"""How the names of files begin that are being written."""


class Written(msgspec.Struct, frozen=True):
    """A file as it was written."""

    path: str
    rows: int
    bytes: int
    sha256: str


class HashedFile:
    """A new file that knows the SHA-256 of what was written to it.

    Attributes
    ----------
    size : int
        How many bytes have been written.
    given_up : bool
        Whether it will be no file: what is still written goes nowhere.
    """

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0
        self.given_up = False

    def write(self, data: bytes | memoryview) -> int:
        """Write bytes at the end."""
        if self.given_up:  # Parquet's writer ends its file also where it is thrown away
            return len(data)
        self._digest.update(data)
        self._file.write(data)
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        """Return how many bytes have been written."""
        return self.size

    def flush(self) -> None:
        """Leave it to the end, when all is flushed to the disk."""

    def sha256(self) -> str:
        """Return the SHA-256 of all that was written."""
        return self._digest.hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[HashedFile]:
    """Yield a file that takes the place of `path`, on the disk, when the block ends without an error."""
    temporary = path.with_name(f"{UNFINISHED}{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            output = HashedFile(file)
            try:
                yield output
            except BaseException:
                output.given_up = True
                raise
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    flush_folder(path.parent)


def replace(path: Path, content: bytes) -> None:
    """Make `content` the content of a file."""
    with replacing(path) as file:
        file.write(content)


def flush_folder(folder: Path) -> None:
    """Have the names in a folder written to the disk."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
