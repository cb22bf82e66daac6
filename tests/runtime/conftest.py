"""Small certified models, made once a session by the real exporter, and a real server on one of them."""

import argparse
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from export import export_classifier
from features_fast import FEATURE_NAMES, specification_hash
from features_fast.build import build
from features_fast.library import targets
from runtime.artifact import seal
from runtime.build import CODEC
from runtime.codec import Codec, load
from runtime.model import Model, load_model
from runtime.settings import ENGINE, read_setting
from tests.serving import RunningServer, running_server

LANES = ("fast", "asgi")
TOKENS = "first-token,second.token~=="
GUARDS = {"PREDICT_TOKENS": TOKENS, "RELOAD_TOKEN": "admin", "MAX_BODY_BYTES": "65536", "MAX_HEADER_BYTES": "4096"}
THREE_CLASSES = ("calm", "normal", 'wild "%s"')
FIVE_NAMES = ("a", "b c", "d.e", "f%", "ĝ")


def random_rows(count: int, width: int, seed: int) -> NDArray[np.float32]:
    """Return rows of different scales."""
    generator = np.random.default_rng(seed)
    return (generator.normal(size=(count, width)) * np.geomspace(0.01, 1000, width)).astype(np.float32)


def made_up(seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return 600 rows of 22 features and a target of two classes that depends on two of them."""
    rows = random_rows(600, len(FEATURE_NAMES), seed)
    return rows, (rows[:, 0] / 0.01 + rows[:, 21] / 1000 > 0).astype(np.int64)


def fitted_forest(seed: int) -> tuple[Pipeline, NDArray[np.float32]]:
    """Return a forest on 22 features that depends on its seed, and its training rows."""
    rows, target = made_up(seed)
    forest = RandomForestClassifier(20, max_depth=6, random_state=seed)
    return make_pipeline(StandardScaler(), forest).fit(rows, target), rows


def export_forest(path: Path, version: str, seed: int = 0) -> Pipeline:
    """Export a forest and return it."""
    pipeline, rows = fitted_forest(seed)
    export_classifier(
        pipeline,
        path,
        rows=rows,
        test_rows=rows,
        name="random_forest",
        version=version,
        feature_names=FEATURE_NAMES,
        labels=("DOWN", "UP"),
        feature_specification=specification_hash(),
    )
    return pipeline


def export_made_up(classifier: ClassifierMixin, path: Path, name: str) -> None:
    """Export a classifier fitted on the forest's made-up rows, with the forest's features and labels."""
    rows, target = made_up(0)
    export_classifier(
        make_pipeline(StandardScaler(), classifier).fit(rows, target),
        path,
        rows=rows,
        test_rows=rows,
        name=name,
        version="1.0.0",
        feature_names=FEATURE_NAMES,
        labels=("DOWN", "UP"),
        tolerance=1e-4,
    )


def load_as_served(path: Path) -> Model:
    """Return a model as a server of these tests loads it: `ENGINE` of the environment chooses for both."""
    return load_model(path, threads=1, wish=read_setting(ENGINE, argparse.Namespace(), os.environ))


def edited(content: bytes, key: str, edit: Callable[[str], str]) -> bytes:
    """Return the model with one metadata property edited, and sealed again as a forger would."""
    model = onnx.load_from_string(content)
    properties = {entry.key: entry.value for entry in model.metadata_props if entry.key != "tickline.sha256"}
    properties[key] = edit(properties[key])
    onnx.helper.set_model_props(model, properties)
    return seal(model.SerializeToString())


@pytest.fixture(scope="session")
def forest_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A forest with our 22 features, version 1.0.0."""
    path = tmp_path_factory.mktemp("forest") / "model.onnx"
    export_forest(path, "1.0.0")
    return path


@pytest.fixture(scope="session")
def second_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another forest, version 2.0.0."""
    path = tmp_path_factory.mktemp("second") / "model.onnx"
    export_forest(path, "2.0.0", seed=9)
    return path


@pytest.fixture
def model_path(forest_path: Path, tmp_path: Path) -> Path:
    """A copy of the first forest that a test may replace."""
    return Path(shutil.copy(forest_path, tmp_path / "model.onnx"))


@pytest.fixture(scope="session")
def three_class_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A logistic model of three classes and five features, with a label that needs escapes."""
    path = tmp_path_factory.mktemp("three") / "model.onnx"
    rows = random_rows(400, 5, seed=1)
    target = np.array(THREE_CLASSES)[np.digitize(rows[:, 4], [-300, 300])]
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, target)
    export_classifier(
        pipeline, path, rows=rows, test_rows=rows, name="three", version="3.2.1", feature_names=FIVE_NAMES
    )
    return path


@pytest.fixture(scope="session")
def boosting_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gradient boosting on the forest's rows."""
    path = tmp_path_factory.mktemp("boosting") / "model.onnx"
    export_made_up(GradientBoostingClassifier(n_estimators=20, random_state=0), path, "gradient_boosting")
    return path


@pytest.fixture(scope="session")
def naive_bayes_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Naive Bayes on the forest's rows, whose graph the compiled engine does not support."""
    path = tmp_path_factory.mktemp("naive_bayes") / "model.onnx"
    export_made_up(GaussianNB(), path, "naive_bayes")
    return path


@pytest.fixture(scope="session")
def codec_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of batches' kernels, built here and now."""
    return build(targets()[0], tmp_path_factory.mktemp("codec"), CODEC)


@pytest.fixture(scope="session")
def codec(codec_path: Path) -> Codec:
    """The kernels of batches."""
    return load(codec_path)


@pytest.fixture(scope="session")
def server(forest_path: Path) -> Iterator[RunningServer]:
    """One worker on the forest, with limits that a test can reach."""
    with running_server(forest_path, MAX_BATCH_ROWS="50", MAX_BODY_BYTES="65536") as running:
        yield running


@pytest.fixture(scope="session", params=LANES)
def guarded(request: pytest.FixtureRequest, forest_path: Path) -> Iterator[RunningServer]:
    """A server with every door shut and small bounds."""
    with running_server(forest_path, LANE=request.param, **GUARDS) as running:
        yield running


@pytest.fixture(scope="session", params=LANES)
def impatient(request: pytest.FixtureRequest, forest_path: Path) -> Iterator[RunningServer]:
    """A guarded server that gives a request a second, which a busy machine may take: for tests of slow clients."""
    with running_server(forest_path, LANE=request.param, HEADER_SECONDS="1", BODY_SECONDS="1", **GUARDS) as running:
        yield running
