"""Writing that is finished or never happened: a reader meets the old files or the new ones, whole."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

METADATA_FILE = "metadata.json"
"""The file that makes a directory a model directory; it goes first and comes last."""


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; it takes the place of ``path`` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as directory:
        staging = Path(directory) / path.name
        yield staging
        os.replace(staging, path)


@contextmanager
def publish_directory(target: Path) -> Iterator[Path]:
    """Yield an empty directory in ``target``; its files move into ``target`` when the block ends without an error.

    Between the removal of the old metadata and the arrival of the new, nothing in ``target`` loads as a model; so a
    run that is killed there cannot leave old and new files that pass for one model. Other files in ``target`` stay.
    """
    new = not target.exists()
    target.mkdir(parents=True, exist_ok=True)
    try:
        # In the directory itself, which may be a mounted volume: nothing moves out of one file system into another.
        staging = Path(tempfile.mkdtemp(prefix=".staging.", dir=target))
        try:
            yield staging
            (target / METADATA_FILE).unlink(missing_ok=True)
            files = sorted(path for path in staging.rglob("*") if path.is_file())
            for path in sorted(files, key=lambda path: path.name == METADATA_FILE):
                destination = target / path.relative_to(staging)
                destination.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, destination)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    finally:
        if new:
            with suppress(OSError):  # it holds files: all went well
                target.rmdir()


def check_directory(target: Path) -> None:
    """Raise the OSError that `publish_directory` would, before the work whose result it is to take."""
    missing = [path for path in (target, *target.parents) if not path.exists()]
    target.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=target).close()
    for path in missing:
        path.rmdir()
