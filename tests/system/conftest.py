"""What several system tests share: the image of this checkout, and a model for it."""

from pathlib import Path

import pytest
from sklearn.pipeline import Pipeline

from tests.runtime.conftest import export_forest, fitted_forest
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
