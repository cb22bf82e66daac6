"""The API reference holds all that the document holds, in words that need no script."""

from typing import Any

import pytest

from runtime.api_reference import render_reference
from tests.outline import Outline
from tests.serving import RunningServer


@pytest.fixture(scope="module")
def document(server: RunningServer) -> dict[str, Any]:
    found: dict[str, Any] = server.request("GET", "/openapi.json").json()
    return found


@pytest.fixture(scope="module")
def sections(server: RunningServer) -> dict[str, str]:
    """The words of every operation and schema of the page, by identity."""
    page = server.request("GET", "/docs").body.decode()
    Outline(page)
    articles = [part.partition("</article>")[0] for part in page.split("<article ")[1:]]
    return {
        part.split('id="', 1)[1].partition('"')[0]: " ".join(Outline(f"<p {part}</p>").text.split())
        for part in articles
    }


def test_every_operation_tells_all_that_the_document_tells(document: dict[str, Any], sections: dict[str, str]) -> None:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            words = sections[operation["operationId"]]
            assert f"{method.upper()} {path}" in words
            assert f"{operation['summary']}." in words
            for parameter in operation.get("parameters", ()):
                assert parameter["name"] in words
                assert parameter["description"] in words
            for kind, content in operation.get("requestBody", {}).get("content", {}).items():
                assert kind in words
                for name in content.get("examples", {}):
                    assert "curl -s" in words
                    assert name == next(iter(content["examples"])) or f"The same by {name}" in words
            for status, reply in operation["responses"].items():
                assert f"{status} {reply['description'].replace('`', '')}" in words
                assert all(kind in words for kind in reply.get("content", {}))
                assert all(name in words for name in reply.get("headers", {}))


def test_every_schema_has_a_place_with_its_members(document: dict[str, Any], sections: dict[str, str]) -> None:
    for name, schema in document["components"]["schemas"].items():
        words = sections[f"schema-{name}"]
        assert schema.get("description", "").replace("`", "") in words
        assert all(member in words for member in schema.get("properties", ()))
        for member, each in schema.get("properties", {}).items():
            if "$ref" in each:
                assert each["$ref"].rpartition("/")[2] in words, member


def test_a_reply_is_shown_as_the_model_gives_it(server: RunningServer, sections: dict[str, str]) -> None:
    reply = server.request("GET", "/predict/demo").json()
    shown = sections["post_predict"]
    assert f'"prediction_label": "{reply["prediction_label"]}"' in shown
    assert f'"probability": {reply["probability"]}' in shown


def test_tokens_are_explained_where_there_are_some(document: dict[str, Any]) -> None:
    assert "tokens" not in Outline(render_reference(document)).ids
    scheme = {"type": "http", "scheme": "bearer", "description": "A token of RELOAD_TOKEN."}
    components = {**document["components"], "securitySchemes": {"reload_token": scheme}}
    operation = {**document["paths"]["/reload"]["post"], "security": [{"reload_token": []}]}
    paths = {**document["paths"], "/reload": {"post": operation}}
    outline = Outline(render_reference({**document, "components": components, "paths": paths}))
    assert "tokens" in outline.ids
    assert "Needs a token: reload_token." in outline.text
    assert '-H "Authorization: Bearer $RELOAD_TOKEN"' in outline.text
