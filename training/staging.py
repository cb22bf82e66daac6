"""A directory of files that belong together: a reader meets the old ones or the new ones, whole."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from features_fast.atomic_file import make_staging

METADATA_FILE = "metadata.json"
"""The file that makes a directory a model directory; it goes first and comes last."""


@contextmanager
def publish_directory(target: Path) -> Iterator[Path]:
    """Yield an empty directory in ``target``; its files move into ``target`` when the block ends without an error.

    Between the removal of the old metadata and the arrival of the new, nothing in ``target`` loads as a model; so a
    run that is killed there cannot leave old and new files that pass for one model. Runs that end together move their
    files one after the other, and the last one's stay. Other files in ``target`` stay.
    """
    new = not target.exists()
    try:
        staging = make_staging(target)
        try:
            yield staging
            with holding_directory(target, exclusive=True):
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


@contextmanager
def holding_directory(directory: Path, *, exclusive: bool = False) -> Iterator[None]:
    """Keep others from publishing into a directory while it is read, or, exclusively, from reading it too."""
    with ExitStack() as stack:
        with suppress(OSError):  # not every network file system has locks; what cannot be read is told by who reads it
            descriptor = os.open(directory, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
