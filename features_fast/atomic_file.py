"""A file that is written whole or not at all, and what says before long work whether its result can be written."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TRIES = 1000
"""Each that fails has met another run that took the folder away; no runs do that so often."""


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a path to write to; the file there takes the place of ``path`` when the block ends without an error.

    A reader meets the old file or the new one. A symbolic link stays, as it does for whoever writes to it: the file
    that it leads to is replaced, in the folder of that file.

    Parameters
    ----------
    path : Path
        The file; folders above it are made where they are missing.

    Raises
    ------
    OSError
        Where it cannot be written, or is no file but a directory or a device; its file name is that of the file that
        is being written.
    """
    path = Path(os.path.realpath(path))
    _expect_file(path)
    folder = make_staging(path.parent, f".{path.name}.")
    try:
        staging = folder / path.name
        yield staging
        with staging.open("rb") as file:
            os.fsync(file.fileno())  # before the name: after a loss of power it would lead to an empty file
        os.replace(staging, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_staging(folder: Path, prefix: str = ".staging.") -> Path:
    """Make an empty folder in a folder, which may be a mounted volume: nothing moves between file systems.

    Parameters
    ----------
    folder : Path
        Made, with those above it, where it is missing.
    prefix : str
        What the name begins with.

    Raises
    ------
    OSError
        Where nothing can be made there.
    """
    for left in reversed(range(_TRIES)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
        except FileNotFoundError:  # another run takes the empty folder away
            if not left:
                raise
        except FileExistsError:  # while `mkdir` looked another run took it away, or a file is there
            if not left:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
    raise AssertionError  # the last try returned or raised


def check_file(path: Path) -> None:
    """Raise the OSError that `write_atomically` would, before the work whose result the file is to take.

    Its file name is `path`. All is left as it was.
    """
    real = Path(os.path.realpath(path))
    try:
        _expect_file(real)
        _try_staging(real.parent, f".{real.name}.")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def check_folder(folder: Path) -> None:
    """Raise OSError where no file can be written into a folder, before the work whose results it is to take.

    Its file name is `folder`. All is left as it was.
    """
    try:
        _try_staging(folder)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None


def _try_staging(folder: Path, prefix: str = ".staging.") -> None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        make_staging(folder, prefix).rmdir()
    finally:
        for path in missing:
            with suppress(OSError):  # another run writes there already
                path.rmdir()


def _expect_file(path: Path) -> None:
    """Raise OSError where a file would take the place of something else."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is no regular file", str(path))
