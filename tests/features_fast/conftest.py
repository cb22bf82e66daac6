"""The kernels of both backends, made once for all tests."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from features_fast import library
from features_fast.build import build


@dataclass
class Writes:
    """Files that this process opened for writing while a compilation was watched."""

    watched: bool = False
    paths: list[str] = field(default_factory=list)

    def note(self, event: str, arguments: tuple[object, ...]) -> None:
        """Take an audit event of Python; every way to open a file ends in one, and there is no way to take it back."""
        if not self.watched:
            return
        if (
            event == "open"
            and isinstance(flags := arguments[2], int)
            and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        ):
            self.paths.append(str(arguments[0]))
        elif event in ("os.mkdir", "os.rename", "tempfile.mkstemp", "tempfile.mkdtemp"):
            self.paths.append(f"{event} {arguments[0]}")


@pytest.fixture(scope="session")
def writes() -> Writes:
    """What the compilation just in time wrote."""
    writes = Writes()
    sys.addaudithook(writes.note)
    return writes


@pytest.fixture(scope="session")
def compiled(writes: Writes) -> library.Library:
    """Kernels compiled just in time."""
    writes.watched = True
    kernels = library.compile_kernels("asked for by a test")
    writes.watched = False
    return kernels


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the libraries that this machine can run are built ahead of time."""
    folder = tmp_path_factory.mktemp("built")
    with ThreadPoolExecutor() as pool:
        for path in pool.map(lambda target: build(target, folder), library.feature_targets()):
            assert path.parent == folder
    return folder


@pytest.fixture(scope="session")
def built(folder: Path) -> dict[str, library.Library]:
    """Kernels built ahead of time, by target."""
    return {target: library.load(library.library_path(target, folder)) for target in library.feature_targets()}


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[library.Library], None]:
    """Make `features_fast` run other kernels during a test."""
    return lambda kernels: monkeypatch.setattr(library, "_library", kernels)
