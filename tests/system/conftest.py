"""What several system tests share: the image of this checkout, a model for it, servers of that, and a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from sklearn.pipeline import Pipeline

from tests.runtime.conftest import export_forest, fitted_forest
from tests.serving import RunningServer, running_server
from tests.system.browser import TOKEN, running_browser
from tests.system.containers import LABELS, ROOT, docker


@pytest.fixture(scope="session")
def image() -> str:
    """The image of this checkout."""
    arguments = [part for name, value in LABELS.items() for part in ("--build-arg", f"{name}={value}")]
    docker("build", "--network", "host", "--tag", "tickline:test", *arguments, str(ROOT))
    return "tickline:test"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, which any user may read."""
    folder = tmp_path_factory.mktemp("models")
    export_forest(folder / "model.onnx", "1.0.0")
    (folder / "model.onnx").chmod(0o644)
    for readable in (folder, *list(folder.parents)[:2]):
        readable.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def model(models: Path) -> Path:
    """The model of that folder, which no test may change."""
    return models / "model.onnx"


@pytest.fixture(scope="session")
def forest() -> Pipeline:
    """The model of that folder, as scikit-learn fitted it."""
    return fitted_forest(seed=0)[0]


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[RunningServer]:
    """A server of that model."""
    with running_server(model) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(model: Path) -> Iterator[RunningServer]:
    """A server of that model whose predictions need a token."""
    with running_server(model, PREDICT_TOKENS=TOKEN) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser."""
    with running_browser() as running:
        yield running
