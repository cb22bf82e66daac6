"""Environments of peers."""

from pathlib import Path

import pytest

from bench import peer_environments
from bench.peer_environments import OURS, ROOT, installed_mebibytes, lock_file


def test_ours_is_the_serving_environment() -> None:
    assert lock_file(OURS) == ROOT / "requirements" / "serve.txt"
    assert lock_file("flask") == ROOT / "requirements" / "peer-flask.txt"


def test_a_size_leaves_out_what_a_run_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_environments, "FOLDER", tmp_path)
    monkeypatch.setattr(peer_environments, "environment", lambda peer: tmp_path / peer / "bin")
    packages = tmp_path / "small" / "lib" / "python3.11" / "site-packages"
    (packages / "one" / "__pycache__").mkdir(parents=True)
    (packages / "one" / "module.py").write_bytes(b"#" * 2**20)
    (packages / "one" / "__pycache__" / "module.pyc").write_bytes(b"#" * 2**20)
    (tmp_path / "small" / "lib64").symlink_to("lib")
    assert installed_mebibytes("small") == 1.0
