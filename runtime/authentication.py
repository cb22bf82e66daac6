"""Who may ask: bearer tokens (RFC 6750), from a setting or from a file that is read again when it changes."""

import logging
import os
import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

from features_fast.errors import TicklineError
from runtime.plain_file import read_secrets
from runtime.problems import Problem

logger = logging.getLogger("tickline")

OPEN = frozenset(
    {
        *("/health", "/health/live", "/health/ready"),
        *("/v2/health/live", "/v2/health/ready"),
        *("/metrics", "/reload"),
    }
)
"""Paths that ask for no prediction token: `/reload` has tokens of its own, probes and scrapers have none."""

PAGES = frozenset({"/", "/docs"})
"""Paths that answer a browser with a page: without a token with one that asks for it."""

_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")
_SCHEME = b"bearer "
_KEY = os.urandom(32)


def needs_token(path: str) -> bool:
    """Tell whether a path is for those alone who have a token for predictions."""
    return path not in OPEN and not (path.startswith("/v2/") and path.endswith("/ready"))


def sole_authorization(values: Sequence[bytes]) -> bytes:
    """Return the value of a request's `Authorization` header, empty without one; raises Problem where there are more.

    The header is no list (RFC 9110, 5.3 and 11.6.2): a proxy may look at one of several, and this server at another.
    """
    if len(values) > 1:
        raise Problem(400, f"expected 1 header, got {len(values)}", field="Authorization")
    return values[0] if values else b""


class TokenError(TicklineError):
    """Tokens that cannot be used; the message never holds one."""


class Tokens:
    """The bearer tokens that open a door; without any it stands open.

    A token is looked up by a keyed digest of it. So the time that it takes says nothing of how near a guess was, and is
    the same for one token and for a thousand.

    Parameters
    ----------
    variable : str
        Setting that holds tokens, for messages; that of the file is named by `file_variable`.
    text : str
        Tokens with commas between them, or nothing.
    file_variable : str
        Setting that names the file.
    path : Path or None
        File with one token a line; empty lines and lines that begin with `#` are skipped.

    Raises
    ------
    TokenError
        Where a token has a character that a bearer token cannot have, the text has commas alone, or the file is
        unreadable, no file of bytes on a disk, larger than `runtime.plain_file.SECRETS_BYTES` or without a token.
    """

    def __init__(self, variable: str, text: str, file_variable: str, path: Path | None) -> None:
        self._given = _digests(text.encode(errors="surrogateescape").split(b",") if text else (), variable)
        if text and not self._given:  # names of variables that were empty, with commas between: the door must not open
            raise TokenError(f"{variable}: expected a token, or nothing, got commas alone")
        self._variable = file_variable
        self._path = path
        self._seen = self._stamp()
        self._digests = self._given | self._read()

    def __bool__(self) -> bool:
        """Tell whether a token is needed."""
        return bool(self._digests)

    def admit(self, authorization: bytes) -> bool:
        """Tell whether the value of an `Authorization` header opens the door."""
        return not self._digests or (
            authorization[: len(_SCHEME)].lower() == _SCHEME
            and _digest(authorization[len(_SCHEME) :].strip(b" ")) in self._digests
        )

    def refresh(self) -> bool:
        """Read the file again where it has changed; return whether other tokens hold now.

        A file that cannot be used changes nothing, and the log says so once.
        """
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            digests = self._given | self._read()
        except TokenError as error:
            logger.error("%s; the tokens that were read before hold on", error)
            return False
        changed = digests != self._digests
        self._digests = digests
        return changed

    def _stamp(self) -> tuple[int, ...] | None:
        """Return what changes with the file; Kubernetes swaps a link to replace a secret's files."""
        if self._path is None:
            return None
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_dev, status.st_size

    def _read(self) -> frozenset[bytes]:
        if self._path is None:
            return frozenset()
        name = f"{self._variable} {self._path}"
        try:
            lines = read_secrets(self._path).splitlines()
        except OSError as error:
            raise TokenError(f"{name}: cannot be read: {error.strerror}") from None
        tokens = [line.strip() if line.strip() and not line.startswith(b"#") else b"" for line in lines]
        if not any(tokens):
            raise TokenError(f"{name}: expected a token on a line, got none")
        return _digests(tokens, name)


def _digests(tokens: Iterable[bytes], name: str) -> frozenset[bytes]:
    digests = set()
    for place, token in enumerate(tokens, 1):
        if not token:
            continue
        if not _TOKEN.fullmatch(token):
            raise TokenError(f"{name}: token {place} is none: letters, digits and . _ ~ + / - with any = behind them")
        digests.add(_digest(token))
    return frozenset(digests)


def _digest(token: bytes) -> bytes:
    return blake2b(token, digest_size=16, key=_KEY).digest()
