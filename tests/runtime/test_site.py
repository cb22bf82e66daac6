"""Pages and documents are made once a model, when they are first asked for."""

from pathlib import Path

import pytest

from runtime import site
from runtime.model import load_model
from runtime.selfcheck import check
from runtime.site import find_site, make_site
from tests.runtime.conftest import export_forest
from tests.runtime.test_home import ROUTES
from tests.runtime.test_openapi import settings
from tests.serving import running_server

HTML = {"Accept": "text/html"}


def test_it_is_made_once_a_model(forest_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, chosen = load_model(forest_path, 1), settings()
    assert find_site(model) is None
    made = make_site(model, chosen, check(chosen), ROUTES)
    monkeypatch.delattr(site, "render_page")
    assert make_site(model, chosen, check(chosen), ROUTES) is made
    assert find_site(model) is made


def test_a_reload_renews_it(tmp_path: Path) -> None:
    export_forest(tmp_path / "model.onnx", "1.0.0")
    with running_server(tmp_path) as server:
        before = {path: server.request("GET", path, **HTML).body for path in ("/", "/docs")}
        assert before == {path: server.request("GET", path, **HTML).body for path in ("/", "/docs")}
        export_forest(tmp_path / "model.onnx", "2.0.0-next")
        assert server.request("POST", "/reload", {}).status == 200
        for path, page in before.items():
            assert b"2.0.0-next" not in page
            assert b"2.0.0-next" in server.request("GET", path, **HTML).body


def test_pages_are_asked_for_and_not_predictions(forest_path: Path) -> None:
    with running_server(forest_path) as server:
        for path in ("/", "/docs", "/openapi.json"):
            assert server.request("GET", path, **HTML).status == 200
        text = server.request("GET", "/metrics").body.decode()
    assert 'http_requests_total{method="GET",route="/docs",status="200"} 1.0' in text
    assert 'predictions_total{label="UP"} 0.0' in text  # the example of the reference counts for nothing
    assert 'predictions_total{label="DOWN"} 0.0' in text
