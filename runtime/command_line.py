"""The command line: which commands there are, what they say where they fail, and how each of them ends."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from features_fast.errors import TicklineError
from features_fast.terminal import Help, mend_streams, paint
from runtime.interrupts import INTERRUPTED, ending_in_order
from runtime.memory import never_collected

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
    parser.add_argument("--version", action=_Version, nargs=0, help="show program's version number and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (module, summary) in COMMANDS.items():
        description = summary[0].upper() + summary[1:] + "."
        command = commands.add_parser(name, help=summary, description=description, formatter_class=Help)
        if name in arguments[:1] or arguments[:1] == ["completion"]:
            getattr(import_module(module), f"add_{name}")(command)
    parser.set_defaults(front_door=parser)  # what `completion` reads
    return parser.parse_args(arguments)


class _Version(argparse.Action):
    """Print the version; who does not ask for it need not wait until it is found."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib import metadata

        print(f"tickline {metadata.version('tickline')}")
        parser.exit()


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str
        What stands behind `tickline`.

    Returns
    -------
    int
        The exit status: 0 when it succeeded, 1 with one line on standard error when something outside is wrong or a
        check has failed, 130 when it was interrupted. Wrong usage exits with 2, SIGTERM with 143.
    """
    mend_streams()
    try:
        with never_collected():
            options = parse(arguments)
        with ending_in_order():
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
        return INTERRUPTED


def _drop_output() -> None:
    """Send what is left of the output nowhere, so that Python does not fail on it a second time at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(reason: str) -> int:
    """Say in one line why a command failed."""
    print(f"{paint('tickline', 'red', sys.stderr)}: {reason}", file=sys.stderr)
    return 1
