"""The API description: valid, complete, true of real replies, and tried on a real server by schemathesis."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31
from starlette.routing import Route

from features_fast import FEATURE_NAMES
from runtime import bars_endpoints, endpoints, inference_endpoints
from runtime.metrics import ROUTES as COUNTED
from runtime.model import load_model
from runtime.openapi import describe_api
from runtime.operations import describe_operations
from runtime.settings import SETTINGS, Settings
from tests.runtime.conftest import FIVE_NAMES, THREE_CLASSES, export_forest
from tests.serving import Reply, RunningServer, running_server

ROUTES = [*endpoints.ROUTES, *bars_endpoints.ROUTES, *inference_endpoints.ROUTES]
JSON = "application/json"
TOKEN = "secret"


@pytest.fixture(scope="module")
def guarded(forest_path: Path) -> Iterator[RunningServer]:
    """One worker with a token and with limits that are reached soon."""
    with running_server(forest_path, RELOAD_TOKEN=TOKEN, MAX_BATCH_ROWS="60", MAX_BODY_BYTES="65536") as running:
        yield running


@pytest.fixture(scope="module")
def document(guarded: RunningServer) -> dict[str, Any]:
    reply = guarded.request("GET", "/openapi.json")
    assert (reply.status, reply.headers["content-type"]) == (200, JSON)
    found: dict[str, Any] = reply.json()
    return found


def settings(**changes: Any) -> Settings:
    defaults = {setting.field: setting.parse(setting.default) for setting in SETTINGS}
    return Settings(**{**defaults, **changes})


def methods(route: Route) -> set[str]:
    """Return what a route answers, HEAD aside, which is GET without a body."""
    if route.methods:
        return route.methods - {"HEAD"}
    return {name for name in ("GET", "POST", "PUT", "DELETE", "PATCH") if hasattr(route.endpoint, name.lower())}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def closed(schema: Any) -> Any:
    """Return a schema that takes no member which it does not name, so that a reply cannot have an undescribed one."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {name: closed(value) for name, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        result["additionalProperties"] = False
    return result


def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """Validate a value by a schema of the document."""
    jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def check_reply(document: dict[str, Any], method: str, path: str, reply: Reply) -> None:
    """Check a real reply against what the document says of it."""
    responses = document["paths"][path][method.lower()]["responses"]
    assert str(reply.status) in responses, (method, path, reply.status, reply.body[:200])
    content = responses[str(reply.status)].get("content", {})
    kind = reply.headers.get("content-type", "").partition(";")[0]
    assert kind in (content or {""}), (method, path)
    if kind.endswith("json"):
        open_schema = content[kind]["schema"]
        check({"components": closed(document["components"])}, closed(open_schema), reply.json())


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    jsonschema_rs.Draft202012Validator(OPENAPI_31).validate(document)
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    for reference in re.findall(r'"\$ref": "([^"]*)"', json.dumps(document)):
        kind, name = re.fullmatch("#/components/([a-z]+)/(.*)", reference).groups()  # type: ignore[union-attr]
        assert name in document["components"][kind]


def test_every_route_and_method_is_described_and_nothing_else(document: dict[str, Any]) -> None:
    served = {(method, route.path) for route in ROUTES for method in methods(route)}
    assert {(method, path) for method, path, _ in operations(document)} == served
    assert set(document["paths"]) == set(COUNTED) - {"unmatched"}


def test_no_description_is_without_a_route(forest_path: Path) -> None:
    described = describe_operations(load_model(forest_path, 1), settings())
    assert set(described) == {(method, route.path) for route in ROUTES for method in methods(route)}


def test_a_route_without_a_description_is_refused(forest_path: Path) -> None:
    with pytest.raises(KeyError, match="/unknown"):
        describe_api(load_model(forest_path, 1), settings(), [*ROUTES, Route("/unknown", endpoints.live)])


def test_operations_are_summed_up_and_named_apart(document: dict[str, Any]) -> None:
    found = [operation for _, _, operation in operations(document)]
    assert all(operation["summary"] for operation in found)
    assert len({operation["operationId"] for operation in found}) == len(found)
    tags = {tag["name"] for tag in document["tags"]}
    assert {tag for operation in found for tag in operation["tags"]} == tags


def test_schemas_have_the_features_and_labels_of_the_model(forest_path: Path, three_class_path: Path) -> None:
    for path, names, labels in (
        (forest_path, FEATURE_NAMES, ("DOWN", "UP")),
        (three_class_path, FIVE_NAMES, THREE_CLASSES),
    ):
        document = describe_api(load_model(path, 1), settings(), ROUTES)
        jsonschema_rs.Draft202012Validator(OPENAPI_31).validate(document)
        schemas = document["components"]["schemas"]
        listed, named = schemas["RowBody"]["properties"]["features"]["anyOf"]
        assert listed["minItems"] == listed["maxItems"] == len(names)
        assert list(schemas[named["$ref"].rpartition("/")[2]]["properties"]) == list(names)
        assert schemas["RequestInput"]["properties"]["shape"]["prefixItems"][1] == {"const": len(names)}
        assert list(schemas["Answer"]["properties"]["probabilities"]["properties"]) == list(labels)
        assert set(schemas["Answer"]["properties"]["prediction_label"]["enum"]) == set(labels)
        assert schemas["Answer"]["properties"]["prediction"]["maximum"] == len(labels) - 1


def test_the_token_is_asked_for_where_there_is_one(document: dict[str, Any], forest_path: Path) -> None:
    assert document["paths"]["/reload"]["post"]["security"] == [{"reload_token": []}]
    assert document["components"]["securitySchemes"]["reload_token"]["scheme"] == "bearer"
    open_to_loopback = describe_api(load_model(forest_path, 1), settings(), ROUTES)
    assert open_to_loopback["paths"]["/reload"]["post"]["security"] == []
    assert "403" in open_to_loopback["paths"]["/reload"]["post"]["responses"]
    from_file = describe_api(load_model(forest_path, 1), settings(reload_token_file=Path("tokens")), ROUTES)
    assert from_file["paths"]["/reload"]["post"]["security"] == [{"reload_token": []}]


def test_predictions_are_for_those_with_a_token_where_there_is_one(forest_path: Path) -> None:
    body = json.dumps({"features": [0.0] * 22}).encode()
    with running_server(forest_path, PREDICT_TOKENS="a-token-of-predictions") as server:
        allowed = {"Authorization": "Bearer a-token-of-predictions"}
        document = server.request("GET", "/openapi.json", **allowed).json()
        assert document["components"]["securitySchemes"]["predict_token"]["scheme"] == "bearer"
        for path in ("/", "/docs"):
            for accept in ("text/html", JSON):
                check_reply(document, "GET", path, server.request("GET", path, Accept=accept))
        for path in ("/predict", "/v2/models/{model_name}/infer"):
            assert document["paths"][path]["post"]["security"] == [{"predict_token": []}]
            reply = server.request("POST", path.format(model_name="random_forest"), body)
            assert reply.status == 401
            check_reply(document, "POST", path, reply)
        for path in ("/health/live", "/metrics"):
            assert "security" not in document["paths"][path]["get"]
            check_reply(document, "GET", path, server.request("GET", path))


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/v2/models/{model_name}/infer"])
def test_a_deadline_that_has_passed_is_described(document: dict[str, Any], guarded: RunningServer, path: str) -> None:
    late = {"X-Request-Deadline-Ms": "0"}
    filled = path.format(model_name="random_forest")
    reply = guarded.request("POST", filled, {"features": [0.0] * 22}, **late)
    assert reply.status == 504
    check_reply(document, "POST", path, reply)
    assert {"408", "503", "504"} <= document["paths"][path]["post"]["responses"].keys()


def examples(document: dict[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    """Yield method, path, filled path and body of every example; symbols are begun before they are used."""
    order = ["GET", "PUT", "POST", "DELETE"]
    for method, path, operation in sorted(
        operations(document), key=lambda entry: (entry[0] != "PUT", entry[0] == "DELETE", order.index(entry[0]))
    ):
        values = {
            parameter["name"]: quote(parameter["example"])
            for parameter in operation.get("parameters", ())
            if parameter["in"] == "path"
        }
        content = operation.get("requestBody", {}).get("content", {JSON: {}})[JSON]
        for example in content.get("examples", {"none": {"value": None}}).values():
            yield method, path, path.format(**values), example["value"]


def test_every_example_works_and_its_reply_is_described(document: dict[str, Any], guarded: RunningServer) -> None:
    seen = set()
    for method, path, filled, body in examples(document):
        encoded = None if body is None else json.dumps(body).encode()
        with guarded.connection() as connection:
            reply = connection.request(
                method, filled, encoded, {"Content-Type": JSON, "Authorization": f"Bearer {TOKEN}"}
            )
        assert 200 <= reply.status < 300, (method, path, reply.body)
        check_reply(document, method, path, reply)
        if body is not None:
            content = document["paths"][path][method.lower()]["requestBody"]["content"]
            check(document, content[JSON]["schema"], body)
        seen.add((method, path))
    assert seen == {(method, path) for method, path, _ in operations(document)}


def test_every_example_of_a_reply_is_one(document: dict[str, Any]) -> None:
    found = [
        (path, media)
        for _, path, operation in operations(document)
        for reply in operation["responses"].values()
        for media in reply.get("content", {}).values()
        if "example" in media
    ]
    assert {path for path, _ in found} == {"/predict", "/predict/demo"}
    for _, media in found:
        check({"components": closed(document["components"])}, closed(media["schema"]), media["example"])


def test_members_have_the_words_of_their_docstrings(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    members = schemas["SelfCheck"]["properties"]
    assert members["cores"]["description"] == "Processors that the process may run on."
    assert members["workers"]["description"] == members["engine_threads"]["description"]
    assert not any("----" in schema.get("description", "") for schema in schemas.values())


def test_replies_of_other_forms_are_described(document: dict[str, Any], guarded: RunningServer) -> None:
    by_path = {(method, path): body for method, path, _, body in examples(document)}
    rows = by_path["POST", "/predict/batch"]["columns"]
    bars = next(body["bars"] for _, path, _, body in examples(document) if path == "/predict/bars")
    one_bad = {"columns": {**rows, "RSI": [1, None]}}
    short = {"tickers": {"A": bars, "B": bars[:3]}}
    for path, query, body, status in (
        ("/predict/batch", "", one_bad, 200),
        ("/predict/batch", "?layout=columns", one_bad, 200),
        ("/predict/batch", "?on_error=fail", one_bad, 422),
        ("/predict/batch", "?layout=none", one_bad, 422),
        ("/predict/bars", "?all=true", {"bars": bars}, 200),
        ("/predict/bars", "", short, 200),
        ("/predict/bars", "?all=true", short, 200),
        ("/predict/bars", "", {"tickers": {"B": bars[:3]}}, 422),
        ("/predict/bars", "", {"bars": bars[:3]}, 422),
        ("/predict/bars", "", {"bars": bars * 2}, 413),
        ("/predict", "", b"", 400),
        ("/predict", "", b"[" * 70_000, 413),
        ("/predict", "", {"features": [1]}, 422),
        ("/reload", "", {}, 401),
    ):
        reply = guarded.request("POST", path + query, body)
        assert reply.status == status, (path, query, reply.body)
        check_reply(document, "POST", path, reply)
    with guarded.connection() as connection:
        reply = connection.request("PUT", "/symbols/NEW/bars", b'{"bars":[]}')
    assert reply.status == 201
    check_reply(document, "PUT", "/symbols/{ticker}/bars", reply)
    check_reply(document, "GET", "/symbols/{ticker}", guarded.request("GET", "/symbols/NONE"))
    check_reply(document, "GET", "/", guarded.request("GET", "/", Accept="text/html"))
    check_reply(document, "GET", "/v2/models/{model_name}", guarded.request("GET", "/v2/models/none"))


def test_a_reload_renews_the_document(tmp_path: Path) -> None:
    export_forest(tmp_path / "model.onnx", "1.0.0")
    with running_server(tmp_path) as server:
        before = server.request("GET", "/openapi.json").body
        assert server.request("GET", "/openapi.json").body == before
        export_forest(tmp_path / "model.onnx", "2.0.0")
        assert server.request("POST", "/reload", {}).status == 200
        after = server.request("GET", "/openapi.json").json()
    version = "/v2/models/{model_name}/versions/{model_version}"
    assert json.loads(before)["paths"][version]["get"]["parameters"][1]["example"] == "1.0.0"
    assert after["paths"][version]["get"]["parameters"][1]["example"] == "2.0.0"


def test_schemathesis_finds_nothing(guarded: RunningServer, tmp_path: Path) -> None:
    config = Path(__file__).with_name("schemathesis.toml")
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config)),
        *("run", f"http://127.0.0.1:{guarded.port}/openapi.json", "--no-color", "--checks", "all"),
        *("--header", f"Authorization: Bearer {TOKEN}", "--continue-on-failure"),
    ]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert not [line for line in guarded.log if "Traceback" in line or " ERROR " in line]
