"""The front door: the command `tickline`, and `Client` and `AsyncClient` for programs.

What a command or a client needs is imported only when it is asked for, and nearly nothing before Ctrl-C is heeded.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # as typing has it, whose import takes a while
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client", "main"]


def __getattr__(name: str) -> object:
    """Import a client when it is asked for."""
    if name in ("Client", "AsyncClient"):
        import runtime.client

        return getattr(runtime.client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        What stands behind `tickline`; by default what this process was started with, which is the command's alone then.

    Returns
    -------
    int
        The exit status, as `runtime.command_line.run` says.
    """
    if arguments is None:
        from runtime.interrupts import end_at_once_if_interrupted

        end_at_once_if_interrupted()
    from runtime.command_line import run

    return run(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
