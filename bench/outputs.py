"""What a measurement writes: refused before it begins where it cannot be written."""

import argparse
from collections.abc import Callable
from pathlib import Path

from bench.servers import MeasureError
from features_fast.atomic_file import check_file, write_atomically


def expect_output(path: Path, check: Callable[[Path], None] = check_file) -> None:
    """Raise MeasureError where a file cannot be written, or a folder with `features_fast.atomic_file.check_folder`."""
    try:
        check(path)
    except OSError as error:
        raise MeasureError(f"{path}: cannot be written: {error.strerror}") from None


def output_file(text: str) -> Path:
    """Return the path that an argument names, for `argparse`."""
    path = Path(text)
    try:
        expect_output(path)
    except MeasureError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return path


def write_output(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    with write_atomically(path) as staging:
        staging.write_text(text)
