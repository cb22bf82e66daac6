"""Logs: one line a record, as text or as JSON, with the id of the request that it is about."""

import logging
import os
import re
import time
from contextvars import ContextVar
from typing import Any

import msgspec

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the request that this task answers, empty where it has none."""

_SAFE = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}")

access = logging.getLogger("tickline.access")


def accept_id(given: bytes) -> str:
    """Return the request id that a client gave where it is safe to repeat in a log and in a header, else a new one."""
    return given.decode("ascii") if _SAFE.fullmatch(given) else new_id()


def new_id() -> str:
    """Return an id that no other request has: 32 hexadecimal digits."""
    return os.urandom(16).hex()


def log_access(
    client: tuple[str, int] | None, method: str, path: str, status: int, nanoseconds: int, identity: str
) -> None:
    """Log one request that has been answered, without its query, headers and body."""
    host, port = client or ("", 0)
    milliseconds = nanoseconds / 1e6
    # The message comes last, so that a path which looks like a message misleads no one who reads from the left.
    access.info(
        '%s:%d %d %.3fms "%s %s"',
        *(host, port, status, milliseconds, method, path),
        extra={
            "access": {
                "client": f"{host}:{port}",
                "method": method,
                "path": path,
                "status": status,
                "milliseconds": round(milliseconds, 3),
            },
            "request_id": identity,
        },
    )


class TextFormatter(logging.Formatter):
    """Time, level, logger, message, and the request's id in brackets."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Return the line without a traceback."""
        line, identity = super().formatMessage(record), _identity(record)
        return f"{line} [{identity}]" if identity else line


class JsonFormatter(logging.Formatter):
    """One JSON object: `time` (UTC), `level`, `logger`, `message`, `process`, and what else there is to say."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback is a member of it."""
        seconds, milliseconds = divmod(int(record.created * 1000), 1000)
        members: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        if identity := _identity(record):
            members["request_id"] = identity
        members.update(getattr(record, "access", {}))
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(members).decode()


def _identity(record: logging.LogRecord) -> str:
    identity: str = getattr(record, "request_id", REQUEST_ID.get())
    return identity


_FORMATTERS = {"TEXT": "runtime.logs.TextFormatter", "JSON": "runtime.logs.JsonFormatter"}


def configure(level: str, form: str) -> dict[str, object]:
    """Return a logging configuration: one line a record, on standard error.

    Parameters
    ----------
    level : str
        The least level that is logged.
    form : str
        `TEXT` or `JSON`.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": _FORMATTERS[form]}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": level, "handlers": ["stderr"]},
    }
