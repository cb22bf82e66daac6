"""Every documented route of a running server, asked for a prediction that scikit-learn made before."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from features_fast import FEATURE_NAMES, compute
from tests.runtime.conftest import random_rows
from tests.serving import Connection, Reply

JSON = "application/json"
NPY = "application/x-npy"
RAW = "application/octet-stream"
ROWS = random_rows(300, len(FEATURE_NAMES), seed=33)
BARS = [[100.0 + day, 103.0 + day, 99.0 + day, 101.0 + day + day % 3, 1e6 + 1000 * day] for day in range(60)]
INFER_LENGTH = "Inference-Header-Content-Length"


class Asker:
    """A connection that notes which of the documented operations were asked."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.asked: set[tuple[str, str]] = set()

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, status: int = 200
    ) -> Reply:
        """Send one request; where the path has variables, they take the values of the served model."""
        self.asked.add((method.lower(), path.partition("?")[0]))
        place = path.format(model_name="random_forest", model_version="1.0.0", ticker="ACME")
        if body is not None and not isinstance(body, bytes):
            body, headers = json.dumps(body).encode(), {"Content-Type": JSON}
        reply = self.connection.request(method, place, body, headers)
        assert reply.status == status, f"{method} {place}: {reply.status} {reply.body[:500]!r}"
        return reply


def npy(rows: NDArray[Any]) -> bytes:
    """Return an array in NumPy's file format."""
    content = io.BytesIO()
    np.save(content, rows)
    return content.getvalue()


def up(predictions: list[dict[str, Any]]) -> list[float]:
    """Return the probability of UP of each prediction."""
    return [prediction["probabilities"]["UP"] for prediction in predictions]


def ask_every_route(connection: Connection, fitted: Pipeline, token: str) -> None:
    """Ask every operation of `/openapi.json` of a server with one worker, and compare with scikit-learn."""
    asker = Asker(connection)
    ask_service(asker, token)
    ask_predictions(asker, fitted)
    ask_batches(asker, fitted)
    ask_bars(asker, fitted)
    ask_inference(asker, fitted)
    paths = asker.ask("GET", "/openapi.json").json()["paths"]
    documented = {(method, path) for path, item in paths.items() for method in item if method != "parameters"}
    assert documented <= asker.asked, f"never asked: {documented - asker.asked}"


def ask_service(asker: Asker, token: str) -> None:
    """Ask what says how the server is, and have it load its model anew."""
    for path in ("/health", "/health/live", "/health/ready", "/model/info"):
        asker.ask("GET", path)
    assert b"<html" in asker.ask("GET", "/", headers={"Accept": "text/html"}).body
    assert asker.ask("GET", "/").json()
    assert b"API reference" in asker.ask("GET", "/docs").body
    authorized = {"Authorization": f"Bearer {token}"}
    assert asker.ask("POST", "/reload", b"", authorized).json()["model_version"] == "1.0.0"
    assert b"predictions_total" in asker.ask("GET", "/metrics").body
    assert (
        b"# EOF" in asker.ask("GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}).body
    )


def ask_predictions(asker: Asker, fitted: Pipeline) -> None:
    """Ask for single predictions."""
    assert asker.ask("GET", "/predict/demo").json()["prediction_label"] in ("UP", "DOWN")
    for row, expected in zip(ROWS[:20], fitted.predict_proba(ROWS[:20]), strict=True):
        listed = row.tolist()
        for features in (listed, dict(zip(FEATURE_NAMES, listed, strict=True))):
            reply = asker.ask("POST", "/predict", {"features": features}).json()
            assert abs(reply["probabilities"]["UP"] - expected[1]) < 1e-5


def ask_batches(asker: Asker, fitted: Pipeline) -> None:
    """Ask for batches in each format."""
    expected = fitted.predict_proba(ROWS)
    rows = json.dumps({"features": ROWS.tolist()}).encode()
    columns = json.dumps({"columns": dict(zip(FEATURE_NAMES, ROWS.T.tolist(), strict=True))}).encode()
    for content_type, body in ((JSON, rows), (JSON, columns), (NPY, npy(ROWS)), (RAW, ROWS.tobytes())):
        kind = {"Content-Type": content_type}
        reply = asker.ask("POST", "/predict/batch", body, kind).json()
        np.testing.assert_allclose(up(reply["predictions"]), expected[:, 1], atol=1e-5)
        reply = asker.ask("POST", "/predict/batch?layout=columns", body, kind).json()
        np.testing.assert_allclose(reply["probabilities"]["UP"], expected[:, 1], atol=1e-5)
        content = asker.ask("POST", "/predict/batch", body, {**kind, "Accept": NPY}).body
        np.testing.assert_allclose(np.load(io.BytesIO(content)), expected, atol=1e-5)


def ask_bars(asker: Asker, fitted: Pipeline) -> None:
    """Ask for predictions from bars, whose features are computed there and here."""
    opens, highs, lows, closes, volumes = np.array(BARS).T.copy()
    features = compute(opens, highs, lows, closes, volumes)[49:].astype(np.float32)
    expected = fitted.predict_proba(features)[:, 1]
    newest = asker.ask("POST", "/predict/bars", {"bars": BARS}).json()
    np.testing.assert_allclose(newest["probabilities"]["UP"], expected[-1], atol=1e-5)
    every = asker.ask("POST", "/predict/bars?all=true", {"bars": BARS}).json()
    np.testing.assert_allclose(up(every["predictions"]), expected, atol=1e-5)
    asker.ask("PUT", "/symbols/{ticker}/bars", {"bars": BARS[:-1]}, status=201)
    update = asker.ask("POST", "/symbols/{ticker}/bars", {"bar": BARS[-1]}).json()
    np.testing.assert_allclose(update["probabilities"]["UP"], expected[-1], atol=1e-5)
    asker.ask("GET", "/symbols/{ticker}")
    asker.ask("DELETE", "/symbols/{ticker}", status=204)


def ask_inference(asker: Asker, fitted: Pipeline) -> None:
    """Ask the Open Inference Protocol, with JSON and with binary tensors."""
    expected = fitted.predict_proba(ROWS).ravel()
    for path in ("/v2", "/v2/", "/v2/health/live", "/v2/health/ready"):
        asker.ask("GET", path)
    tensor: dict[str, Any] = {"name": "features", "datatype": "FP32", "shape": ROWS.shape}
    told = {**tensor, "parameters": {"binary_data_size": ROWS.nbytes}}
    wanted = [{"name": "probabilities"}]
    head = json.dumps({"inputs": [told], "outputs": wanted}).encode()
    for model in ("/v2/models/{model_name}", "/v2/models/{model_name}/versions/{model_version}"):
        asker.ask("GET", model)
        asker.ask("GET", model + "/ready")
        document = {"inputs": [{**tensor, "data": ROWS.ravel().tolist()}], "outputs": wanted}
        plain = asker.ask("POST", model + "/infer", document).json()
        np.testing.assert_allclose(plain["outputs"][0]["data"], expected, atol=1e-5)
        length = {INFER_LENGTH: str(len(head)), "Content-Type": RAW}
        binary = asker.ask("POST", model + "/infer", head + ROWS.tobytes(), length).json()
        np.testing.assert_allclose(binary["outputs"][0]["data"], expected, atol=1e-5)
