"""Files that a measurement writes: refused before it begins where they cannot be written."""

import argparse
from pathlib import Path

from features_fast.atomic_file import check_file, write_atomically


def output_file(text: str) -> Path:
    """Return the path that an argument names, for `argparse`."""
    path = Path(text)
    try:
        check_file(path)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text}: cannot be written: {error.strerror}") from None
    return path


def write_output(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    with write_atomically(path) as staging:
        staging.write_text(text)
