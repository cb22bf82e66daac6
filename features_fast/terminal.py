"""What every command prints: tables, colours where a terminal shows them, and the progress of long work."""

import argparse
import errno
import io
import os
import shutil
import sys
import textwrap
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from time import perf_counter
from types import TracebackType
from typing import BinaryIO, TextIO

_COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32"}
_CLEAR_LINE = "\r\x1b[2K"
_BAR_WIDTH = 24
_REDRAW_SECONDS = 0.1
_LAST_STREAM = 2  # standard error
_OUTPUT = "standard output"


def shows_colour(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal that shows colours, and the user has not turned them off (`NO_COLOR`)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """Return a text red, green, bold or dim where the stream (standard output) shows it; else as it is."""
    if not shows_colour(stream or sys.stdout):
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


class Closed(io.TextIOBase):
    """A standard stream that was closed before the start: to use it is an error that names it.

    Parameters
    ----------
    name : str
        Of the stream.
    """

    def __init__(self, name: str) -> None:
        self._error = OSError(errno.EBADF, "it is closed", name)

    def write(self, text: str) -> int:
        """Raise OSError."""
        raise self._error

    @property
    def buffer(self) -> BinaryIO:
        """Raise OSError: bytes are read here."""
        raise self._error


class Output(io.TextIOWrapper):
    """Standard output whose errors name it."""

    def write(self, text: str) -> int:
        """Write a text; raises OSError."""
        try:
            return super().write(text)
        except OSError as error:
            error.filename = _OUTPUT
            raise

    def flush(self) -> None:
        """Write what is kept; raises OSError."""
        try:
            super().flush()
        except OSError as error:
            error.filename = _OUTPUT
            raise


def mend_streams() -> None:
    """Replace standard streams that are closed, which Python leaves out, so that whoever uses one is told.

    Standard output shows what it cannot encode as standard error does, `\\xff`: a path need not be UTF-8.

    Their numbers are taken too, lest a file or a socket that is opened gets one, and a library writes into it. What is
    said on standard error is lost then.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
    if type(sys.stdout) is io.TextIOWrapper:  # what stands in its place has a reason
        plain = sys.stdout
        sys.stdout = Output(
            plain.buffer,
            plain.encoding,
            plain.errors,
            line_buffering=plain.line_buffering,
            write_through=plain.write_through,
        )
    if sys.stdin and sys.stdout and sys.stderr:
        return
    while (number := os.open(os.devnull, os.O_RDWR)) <= _LAST_STREAM:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdin = sys.stdin or Closed("standard input")
    sys.stdout = sys.stdout or Closed(_OUTPUT)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 - as long as the process


def render_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    left: Sequence[int] = (0,),
    colours: Sequence[str] = (),
) -> str:
    """Return a table as text for standard output: the same words in a terminal and in a pipe.

    Parameters
    ----------
    columns : sequence of str
        The heads.
    rows : sequence of sequence of str
        The cells, as many in each row as there are columns.
    title : str
        A line above.
    left : sequence of int
        The columns that hold words; numbers stand to the right.
    colours : sequence of str
        The colour of each row, "" for none; none at all by default.
    """
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join(padded).rstrip()

    lines = [paint(title, "bold")] if title else []
    lines += [paint(line(columns), "bold"), paint("  ".join("-" * width for width in widths), "dim")]
    for place, row in enumerate(rows):
        colour = colours[place] if colours else ""
        lines.append(paint(line(row), colour) if colour else line(row))
    return "\n".join(lines)


class Help(argparse.HelpFormatter):
    """The help of every command: paragraphs fill the terminal's width, examples stay as they are, headings are bold."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        filled = [
            paragraph if "\n  " in paragraph else textwrap.fill(" ".join(paragraph.split()), width)
            for paragraph in text.split("\n\n")
        ]
        return textwrap.indent("\n\n".join(filled), indent)

    def start_section(self, heading: str | None) -> None:
        """Begin a section."""
        super().start_section(heading and paint(heading, "bold"))

    def add_argument(self, action: argparse.Action) -> None:
        """Add an argument; names of commands stand two columns further to the right, which the base forgets."""
        super().add_argument(action)
        if isinstance(action, argparse._SubParsersAction):
            self._action_max_length += self._indent_increment


class Progress(AbstractContextManager["Progress"]):
    """Stages of long work, told on standard error, so that what is printed can be piped on.

    A terminal shows one line that moves: the seconds, the stage and, where the amount of work is known, a bar. Every
    stage that ends leaves a line with its time, in a terminal and elsewhere.
    """

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._stage = ""
        self._began = 0.0
        self._done, self._total = 0, 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._painter = threading.Thread(target=self._repaint, daemon=True) if self._stream.isatty() else None

    def __enter__(self) -> "Progress":
        if self._painter:
            self._painter.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        if self._painter:
            self._painter.join()
            self._stream.write(_CLEAR_LINE)
        if kind is None:
            self._finish()
        self._stream.flush()

    def begin(self, stage: str, total: int = 0) -> None:
        """Say what begins, and of how many steps it is; 0 where nobody knows."""
        with self._lock:
            self._finish()
            self._stage, self._began, self._done, self._total = stage, perf_counter(), 0, total

    def advance(self, steps: int = 1) -> None:
        """Say that some of the steps are done."""
        self._done += steps

    def _finish(self) -> None:
        if self._stage:
            clear = _CLEAR_LINE if self._painter else ""
            self._stream.write(f"{clear}{perf_counter() - self._began:6.2f} s  {self._stage}\n")
            self._stage = ""

    def _repaint(self) -> None:
        while not self._stopped.wait(_REDRAW_SECONDS):
            with self._lock:
                if self._stage:
                    width = shutil.get_terminal_size().columns - 1
                    self._stream.write(_CLEAR_LINE + self._line()[:width])
                    self._stream.flush()

    def _line(self) -> str:
        text = f"{perf_counter() - self._began:6.1f}  s  {self._stage}"
        if not self._total:
            return text
        filled = _BAR_WIDTH * min(self._done, self._total) // self._total
        return f"{text}  [{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {self._done:,} of {self._total:,}"
