"""The home page as its readers without a script see it, for models that say anything of themselves."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from features_fast import FEATURES
from runtime import bars_endpoints, endpoints, inference_endpoints
from runtime.api_reference import render_reference
from runtime.artifact import CARD_KEY, CERTIFICATE_KEY
from runtime.home import clip, describe_service, render_home
from runtime.model import Model, load_model
from runtime.openapi import describe_api, grouped
from runtime.page import render_page
from runtime.selfcheck import check
from tests.outline import Outline
from tests.runtime.conftest import edited
from tests.runtime.test_openapi import settings
from tests.serving import RunningServer

ROUTES = [*endpoints.ROUTES, *bars_endpoints.ROUTES, *inference_endpoints.ROUTES]
HTML = {"Accept": "text/html"}
HOSTILE = """</code></style></textarea><script>alert(1)</script><img src=x onerror=alert(1)>" onx='1' `a` $text & é"""


def render(model: Model, **changes: Any) -> Outline:
    chosen = settings(**changes)
    document = describe_api(model, chosen, ROUTES)
    return Outline(render_page("Tickline", render_home(model, chosen, check(chosen), document)).decode())


def renamed(text: str, training: dict[str, Any]) -> Callable[[str], str]:
    """Return what gives a card other names, other labels, and other facts of the training."""

    def edit(card: str) -> str:
        labels = [f"{text} {index}" for index in range(2)]
        names = [f"{text.replace(chr(34), '')} {index}" for index in range(22)]
        changes = {
            "name": text.replace("/", ""),
            "version": text,
            "created": text,
            "labels": labels,
            "feature_names": names,
        }
        return json.dumps({**json.loads(card), **changes, "training": training})

    return edit


def training(text: str) -> dict[str, Any]:
    """Return facts of a training in which every text is the given one."""
    values = {f"{text}1": 0.5, f"{text}2": text, f"{text}3": None, f"{text}4": {text: [text]}}
    return {
        "metrics": {text: values},
        "baselines": {text: {f"{text}5": values}},
        "skill": {"test": {"baseline": text, "accuracy_gain": 0.1, "standard_error": 0.2}},
    }


def model_named(text: str, source: Path, folder: Path) -> Model:
    content = edited(source.read_bytes(), CARD_KEY, renamed(text, training(text)))
    content = edited(content, CERTIFICATE_KEY, lambda found: json.dumps({**json.loads(found), "reference": text}))
    path = folder / "model.onnx"
    path.write_bytes(content)
    return load_model(path, 1)


def test_it_says_what_is_served_and_what_its_certificate_showed(server: RunningServer) -> None:
    text = Outline(server.request("GET", "/", **HTML).body.decode()).text
    info = server.request("GET", "/model/info").json()
    replay = info["certificate"]["replay"]
    assert f"{info['name']} {info['version']}" in text
    for fact in (
        info["sha256"],
        info["created"],
        f"{replay['rows']:,} golden rows of {info['certificate']['reference']}",
        f"largest difference {replay['max_probability_difference']:.1e}",
        f"{info['certificate']['compared_rows']:,} rows compared",
        info["engine"]["detail"],
    ):
        assert fact in text
    for feature in FEATURES:
        assert feature.name in text
        assert feature.formula in text


def test_the_form_begins_with_the_example_of_the_file(server: RunningServer) -> None:
    outline = Outline(server.request("GET", "/", **HTML).body.decode())
    values = [
        attributes["value"] for tag, attributes in outline.elements if tag == "input" and attributes["type"] == "number"
    ]
    features = [float(value or "nan") for value in values]
    demo = server.request("GET", "/predict/demo").json()
    asked = server.request("POST", "/predict", {"features": features}).json()
    assert {**asked, "timestamp": 0} == {**demo, "timestamp": 0}


def test_every_route_is_on_it_and_leads_to_its_place_in_the_reference(server: RunningServer) -> None:
    outline = Outline(server.request("GET", "/", **HTML).body.decode())
    reference = Outline(server.request("GET", "/docs", **HTML).body.decode())
    document = server.request("GET", "/openapi.json").json()
    operations = [operation for _, described in grouped(document) for operation in described]
    shown = [href.partition("#")[2] for href in outline.all("a", "href") if href.startswith("docs#")]
    assert shown == [operation["operationId"] for _, _, operation in operations]
    assert set(shown) <= set(reference.ids)
    for _, path, operation in operations:
        assert path in outline.text
        assert operation["summary"].replace("`", "") in outline.text


def test_data_and_page_name_the_same_routes(forest_path: Path) -> None:
    model, chosen = load_model(forest_path, 1), settings()
    document = describe_api(model, chosen, ROUTES)
    service = describe_service(model, chosen, document)
    assert [(route["method"], route["path"]) for route in service["routes"]] == [
        (method, path) for _, operations in grouped(document) for method, path, _ in operations
    ]
    assert len(service["routes"]) == sum(map(len, document["paths"].values()))


@pytest.mark.parametrize("changes", [{}, {"predict_tokens": "a", "metrics_port": 9100}])
def test_no_text_of_a_model_becomes_markup(forest_path: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    plain = render(model_named("plain", forest_path, tmp_path), **changes)
    hostile = render(model_named(HOSTILE, forest_path, tmp_path), **changes)
    assert hostile.shape == plain.shape
    assert hostile.scripts == plain.scripts
    assert "<script>alert(1)</script>" in hostile.text  # told as it is
    assert HOSTILE in hostile.text
    assert HOSTILE.replace("/", "") in hostile.text


def test_no_text_of_a_model_becomes_markup_in_the_reference(forest_path: Path, tmp_path: Path) -> None:
    plain, hostile = (
        Outline(render_reference(describe_api(model_named(text, forest_path, tmp_path), settings(), ROUTES)))
        for text in ("plain", HOSTILE)
    )
    assert hostile.shape == plain.shape
    assert "<script>alert(1)</script>" in hostile.text


def test_a_model_of_other_features_has_a_form_for_them_and_takes_no_bars(three_class_path: Path) -> None:
    outline = render(load_model(three_class_path, 1))
    assert [attributes["type"] for tag, attributes in outline.elements if tag == "input"].count("number") == 5
    assert "csv" not in outline.ids
    assert "This model takes no bars: the model does not say that its features are Tickline's." in outline.text
    assert "The model file says nothing of its training." in outline.text


def test_metrics_on_a_port_of_their_own_are_pointed_to(forest_path: Path) -> None:
    model = load_model(forest_path, 1)
    assert "charts" in render(model).ids
    outline = render(model, metrics_port=9100)
    assert "charts" not in outline.ids
    assert "on port 9100 alone" in outline.text


def test_long_texts_are_cut() -> None:
    assert clip("a" * 200) == "a" * 200
    assert clip("a" * 201) == "a" * 200 + "..."
