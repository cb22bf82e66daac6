"""Files that a setting names: bytes on a disk, which end, and not a pipe, a device or a folder."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

SECRETS_BYTES = 2**20
"""Most bytes of a file of tokens, certificates or a key: some ten thousand tokens."""


def open_file(path: Path) -> BinaryIO:
    """Open a file of bytes on a disk to read it; raises OSError, also where it is something else."""
    # A pipe without a writer would be waited for without end.
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "expected a file of bytes on a disk, got a pipe or a device", str(path))
    return file


def read_secrets(path: Path) -> bytes:
    """Return the bytes of a file of tokens, certificates or a key; raises OSError, also where it is too large."""
    with open_file(path) as file:
        content = file.read(SECRETS_BYTES + 1)
    if len(content) > SECRETS_BYTES:
        raise OSError(errno.EFBIG, f"expected at most {SECRETS_BYTES} bytes, got more", str(path))
    return content
