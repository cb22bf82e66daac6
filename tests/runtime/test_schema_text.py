"""JSON Schemas in words."""

from typing import Any

import pytest

from runtime.schema_text import render_schema, render_type
from tests.outline import Outline

NUMBER = {"type": "number"}
DATES = [{"format": "date"}, {"format": "time"}]


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({}, "any value"),
        (NUMBER, "number"),
        ({"type": "integer", "minimum": 0, "maximum": 1}, "integer ≥ 0, ≤ 1"),
        ({"type": "number", "exclusiveMinimum": -3.5e38}, "number > -3.5e+38"),
        ({"type": "string", "pattern": "^a$", "minimum": 1}, "string like ^a$"),
        ({"type": "string", "format": "date-time"}, "string date-time"),
        ({"const": "UP"}, '"UP"'),
        ({"enum": ["b", "a"], "type": "string"}, '"a" or "b"'),
        ({"type": ["string", "null"]}, "string or null"),
        ({"anyOf": [NUMBER, {"type": "null"}]}, "number or null"),
        ({"anyOf": [NUMBER, NUMBER]}, "number"),
        ({"type": ["string", "null"], "anyOf": DATES}, "string date or string time or null"),
        ({"$ref": "#/components/schemas/Problem"}, "Problem"),
        ({"type": "array", "items": NUMBER}, "list of number"),
        ({"type": "array", "items": NUMBER, "minItems": 22, "maxItems": 22}, "list of number, exactly 22"),
        ({"type": "array", "items": NUMBER, "maxItems": 9000}, "list of number, at most 9,000"),
        ({"type": "array", "items": NUMBER, "minItems": 1}, "list of number, at least 1"),
        ({"type": "array", "items": {"anyOf": [NUMBER, {}]}}, "list of (number or any value)"),
        ({"type": "array", "prefixItems": [NUMBER, NUMBER, {"const": 22}]}, "[2 \N{MULTIPLICATION SIGN} number, 22]"),
        ({"type": "object"}, "object"),
        ({"type": "object", "additionalProperties": NUMBER}, "object of number by name"),
        ({"type": "object", "properties": {"a": NUMBER, "b": {}}}, "object of a: number, b: any value"),
        ({"description": "An Arrow `stream`."}, "An Arrow stream."),
        ({"type": "array"}, "list of any value"),
    ],
)  # fmt: skip
def test_types_in_words(schema: dict[str, Any], words: str) -> None:
    assert Outline(render_type(schema)).text == words


def test_members_are_a_table() -> None:
    schema = {
        "type": "object",
        "description": "What `it` is.",
        "properties": {"a": {**NUMBER, "description": "First.", "default": 3}, "b": {"$ref": "#/components/schemas/B"}},
        "required": ["a"],
    }
    outline = Outline(render_schema("It", schema))
    assert " ".join(outline.text.split()) == "It What it is. Member Type What a required number First. Default: 3. b B"
    assert outline.all("a", "href") == ["#schema-B"]
    assert outline.ids[0] == "schema-It"


def test_what_has_no_members_is_told_by_its_type() -> None:
    assert Outline(render_schema("Rows", {"type": "array", "items": NUMBER})).text.split() == [
        "Rows",
        "list",
        "of",
        "number",
    ]
