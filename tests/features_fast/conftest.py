"""The kernels of both backends, made once for all tests."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from features_fast import library
from features_fast.build import build


@pytest.fixture(scope="session")
def compiled() -> library.Library:
    """Kernels compiled just in time."""
    return library.compile_kernels("asked for by a test")


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
