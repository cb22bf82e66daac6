"""A file that is written whole or not at all: a reader meets the old one or the new one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a path to write to; the file there takes the place of ``path`` when the block ends without an error.

    A symbolic link stays, as it does for whoever writes to it: the file that it leads to is replaced, in the folder of
    that file.

    Parameters
    ----------
    path : Path
        The file; folders above it are made where they are missing.

    Raises
    ------
    OSError
        Where it cannot be written; its file name is that of the file that is being written.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        staging = Path(folder) / path.name
        yield staging
        with staging.open("rb") as file:
            os.fsync(file.fileno())  # before the name: after a loss of power it would lead to an empty file
        os.replace(staging, path)
