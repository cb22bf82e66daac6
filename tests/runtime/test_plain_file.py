"""Files that a setting names: what is no file of bytes, or too large a one, is neither waited for nor read."""

import os
import re
from pathlib import Path

import pytest

from runtime.authentication import TokenError, Tokens
from runtime.plain_file import SECRETS_BYTES, open_file, read_secrets


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    for content in (b"", b"some", b"x" * SECRETS_BYTES):
        file.write_bytes(content)
        assert read_secrets(file) == content
    os.truncate(file, SECRETS_BYTES + 1)
    with pytest.raises(OSError, match=f"expected at most {SECRETS_BYTES} bytes, got more"):
        read_secrets(file)


def test_what_is_no_file_of_bytes_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(OSError, match="expected a file of bytes on a disk, got a pipe or a device"):
            open_file(path)
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "absent", "No such file")):
        with pytest.raises(OSError, match=reason):
            open_file(path)


def test_tokens_hold_on_where_a_pipe_or_a_large_file_takes_the_place_of_theirs(tmp_path: Path) -> None:
    file, other = tmp_path / "tokens", tmp_path / "other"
    file.write_text("secret\n")
    tokens = Tokens("T", "", "T_FILE", file)
    os.mkfifo(other)
    other.replace(file)
    assert not tokens.refresh()
    other.touch()
    os.truncate(other, 2**40)  # sparse: read as a whole it would be a terabyte
    other.replace(file)
    assert not tokens.refresh()
    assert tokens.admit(b"Bearer secret")
    with pytest.raises(TokenError, match=re.escape(f"T_FILE {file}: cannot be read: expected at most")):
        Tokens("T", "", "T_FILE", file)
