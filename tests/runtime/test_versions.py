"""Kept model files: which ones, in which order, and what a rollback means."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.board import COMMITTED, PROPOSED, Board
from runtime.versions import VersionError, Versions


class Server:
    """What a leader does with the kept files, without models."""

    def __init__(self, folder: Path, most: int) -> None:
        self.board = Board(folder, 1)
        self.versions = Versions(self.board, most)
        self.served = self._commit("a")

    def _commit(self, name: str) -> Any:
        number = self.board.store_model(name.encode())
        self.board.header[PROPOSED] = self.board.header[COMMITTED] = number
        return predictor(name)

    def load(self, name: str, is_rollback: bool = False) -> None:
        before = self.served
        number = self.board.header[PROPOSED] + 1
        self.versions.add(number, predictor(name), before, is_rollback)
        self.served = self._commit(name)
        self.versions.prune(self.served)

    def roll_back(self) -> str:
        entry = self.versions.before(self.served)
        name = self.board.model_path(entry.number).read_text()
        assert name == entry.version
        self.load(name, is_rollback=True)
        return name

    def pick(self, name: str) -> None:
        entry = self.versions.find(name, self.served)
        self.load(self.board.model_path(entry.number).read_text())

    def kept(self) -> list[str]:
        kept = self.versions.describe(self.served)
        assert [each.version for each in kept if each.served] == [self.served.card.version]
        assert len(list(self.board.folder.glob("*.onnx"))) == len(kept)
        return [each.version for each in kept]


def predictor(name: str, version: str | None = None) -> Any:
    card = SimpleNamespace(version=version or name, created="2026-01-15T10:30:00Z")
    return SimpleNamespace(sha256=hashlib.sha256(name.encode()).hexdigest(), size=len(name), card=card)


def test_the_last_ones_are_kept_and_each_file_once(tmp_path: Path) -> None:
    server = Server(tmp_path, 3)
    assert server.kept() == ["a"]
    for name, kept in (("b", "ab"), ("c", "abc"), ("d", "bcd"), ("b", "cdb"), ("b", "cdb"), ("e", "dbe")):
        server.load(name)
        assert server.kept() == list(kept)


def test_a_rollback_goes_to_what_was_served_before_and_the_next_one_further(tmp_path: Path) -> None:
    server = Server(tmp_path, 4)
    with pytest.raises(VersionError, match="there is no earlier one to go back to"):
        server.roll_back()
    for name in "bcd":
        server.load(name)
    assert server.roll_back() == "c"
    assert server.roll_back() == "b"
    server.load("e")  # after it c and d are no way back
    assert server.roll_back() == "b"
    with pytest.raises(VersionError, match="no longer kept"):
        server.roll_back()  # a has made room for e


def test_a_pick_can_be_rolled_back(tmp_path: Path) -> None:
    server = Server(tmp_path, 4)
    for name in "bc":
        server.load(name)
    server.pick("a")
    assert server.roll_back() == "c"


def test_the_same_file_again_is_no_step(tmp_path: Path) -> None:
    server = Server(tmp_path, 3)
    server.load("b")
    server.load("b")
    server.pick("b")
    assert server.roll_back() == "a"


def test_what_would_be_served_is_told(tmp_path: Path) -> None:
    server = Server(tmp_path, 3)
    server.load("b")
    server.load("c")
    assert [each.version for each in server.versions.describe(server.served) if each.rollback] == ["b"]
    server.roll_back()
    assert [each.version for each in server.versions.describe(server.served) if each.rollback] == ["a"]


def test_a_version_that_two_files_have_is_picked_by_its_hash(tmp_path: Path) -> None:
    server = Server(tmp_path, 3)
    twin = predictor("other", version="a")
    server.versions.add(2, twin, server.served, False)
    with pytest.raises(VersionError, match=f"2 kept files have this version; .*{twin.sha256}"):
        server.versions.find("a", server.served)
    assert server.versions.find(twin.sha256, server.served).number == 2
    with pytest.raises(VersionError, match="no such version is kept; kept are a, a"):
        server.versions.find("b", server.served)


def test_with_one_kept_there_is_no_way_back(tmp_path: Path) -> None:
    server = Server(tmp_path, 1)
    server.load("b")
    assert server.kept() == ["b"]
    with pytest.raises(VersionError, match="no longer kept"):
        server.roll_back()


def test_what_an_unfinished_reload_left_is_cleared(tmp_path: Path) -> None:
    server = Server(tmp_path, 3)
    server.versions.add(2, predictor("lost"), server.served, False)  # its leader was killed before the commit
    server.board.header[PROPOSED] = server.board.store_model(b"lost")
    assert [each.version for each in server.versions.describe(server.served) if each.served] == ["a"]
    server.load("b")
    assert server.versions.before(server.served).version == "a"
    (tmp_path / "77.onnx").write_bytes(b"no one knows it")
    server.load("c")
    assert not (tmp_path / "77.onnx").exists()
