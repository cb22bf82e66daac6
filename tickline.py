"""The front door: the command `tickline`, and `Client` and `AsyncClient` for programs.

What a command or a client needs is imported only when it is asked for.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from features_fast.errors import TicklineError
from features_fast.terminal import Help, mend_streams, paint

if TYPE_CHECKING:
    from runtime.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client", "main"]

COMMANDS = {
    "data": ("training.commands", "write daily bars: a real series or a synthetic one"),
    "features": ("training.commands", "compute the 22 features of a file of bars"),
    "train": ("training.commands", "fit scaler and classifier, and report on them"),
    "export": ("export.commands", "turn the trained model into one certified ONNX file"),
    "verify": ("runtime.commands", "replay a model file's certificate"),
    "promote": ("training.promotion_commands", "make the registry's challenger its champion, if it is better"),
    "pull": ("runtime.pull_commands", "fetch a verified model from the MLflow registry"),
    "serve": ("runtime.commands", "serve predictions over HTTP"),
    "predict": (
        "runtime.prediction_commands",
        "predict a row, a file of rows or a CSV of bars",
    ),
    "explain": ("runtime.prediction_commands", "say what each feature adds to a prediction"),
    "score": ("runtime.scoring.commands", "score files of bars or of features, with bounded memory"),
    "load": ("bench.commands", "load a running server, and check and time its replies"),
    "bench": ("bench.commands", "measure the parts of the server beside a baseline"),
    "completion": ("runtime.completion", "print a script that completes commands in your shell"),
}
"""Name -> module that defines `add_<name>(parser)`, and the summary in `tickline --help`."""

_NEAR = 20
"""Characters on both sides of one that cannot be written, which tell where it is."""


def __getattr__(name: str) -> Any:
    """Import a client when it is asked for."""
    if name in ("Client", "AsyncClient"):
        return getattr(import_module("runtime.client"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; the namespace's `run` executes the command."""
    parser = argparse.ArgumentParser(
        prog="tickline",
        description="Market bars in, an UP/DOWN probability out, in microseconds.",
        epilog="examples:\n"
        "  tickline train --source sp500 && tickline export && tickline verify\n"
        "  tickline predict bars.csv\n"
        "  tickline serve\n\n"
        "exit status: 0 done, 1 something outside is wrong (one line says what), 2 wrong usage, 130 interrupted,\n"
        "143 terminated",
        formatter_class=Help,
    )
    parser.add_argument("--version", action="version", version=f"tickline {metadata.version('tickline')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (module, summary) in COMMANDS.items():
        description = summary[0].upper() + summary[1:] + "."
        command = commands.add_parser(name, help=summary, description=description, formatter_class=Help)
        if name in arguments[:1] or arguments[:1] == ["completion"]:
            getattr(import_module(module), f"add_{name}")(command)
    parser.set_defaults(front_door=parser)  # what `completion` reads
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns
    -------
    int
        The exit status: 0 when it succeeded, 1 with one line on standard error when something outside is wrong or a
        check has failed, 130 when it was interrupted. Wrong usage exits with 2, SIGTERM with 143.
    """
    from runtime.memory import never_collected

    arguments = sys.argv[1:] if arguments is None else arguments
    mend_streams()
    try:
        with _ending_in_order():
            with never_collected():
                options = parse(arguments)
            status = options.run(options) or 0
            sys.stdout.flush()  # here a full disk or a closed pipe can still be told
            return status
    except TicklineError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        module, _ = COMMANDS[arguments[0]]
        extra = "score" if module.startswith("runtime.scoring") else "bench" if module.startswith("bench.") else "train"
        if error.name in ("mlflow", "ray"):
            extra = error.name
        return _fail(f"{error.name} is not installed: pip install 'tickline[{extra}]'")
    except BrokenPipeError:
        _drop_output()  # its reader has gone: nothing is left to say
        return 1
    except OSError as error:
        _drop_output()
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error))
    except UnicodeEncodeError as error:
        near = error.object[max(0, error.start - _NEAR) : error.end + _NEAR]
        return _fail(f"expected text that {error.encoding} can hold, got {near!r}")
    except KeyboardInterrupt:
        return 130


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Let SIGTERM end a command by an exception, as Ctrl-C does, so that no half-written file stays behind."""

    def end(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _drop_output() -> None:
    """Send what is left of the output nowhere, so that Python does not fail on it a second time at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(reason: str) -> int:
    """Say in one line why a command failed."""
    print(f"{paint('tickline', 'red', sys.stderr)}: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
