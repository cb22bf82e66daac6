"""JSON Schemas in words and tables, as HTML."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import msgspec

from runtime.markup import Markup, fill, join, prose

Schema = Mapping[str, Any]

_LIMITS = (
    ("minimum", "≥ {}"),
    ("exclusiveMinimum", "> {}"),
    ("maximum", "≤ {}"),
    ("exclusiveMaximum", "< {}"),
    ("pattern", "like {}"),
    ("format", "{}"),
)
_MOST_VALUES = 32  # words or members that the page shows of a type


def schema_id(name: str) -> str:
    """Return the identity of a schema's place in the page."""
    return f"schema-{name}"


def render_schema(name: str, schema: Schema) -> Markup:
    """Return one named schema: what it is for, and a table of its members or else its type."""
    members = schema.get("properties")
    content = _render_members(name, schema) if members else fill("schema-type", type=render_type(schema))
    description = schema.get("description", "")
    paragraph = fill("paragraph", text=prose(description)) if description else Markup()
    return fill("schema", id=schema_id(name), name=name, description=paragraph, content=content)


def render_type(schema: Schema) -> Markup:
    """Return in a line what a schema takes."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return fill("schema-link", id=schema_id(name), name=name)
    kind = schema.get("type")
    if isinstance(kind, list):
        return _either(render_type({**schema, "type": each} if each != "null" else {"type": each}) for each in kind)
    for word in ("anyOf", "oneOf"):
        if word in schema and "properties" not in schema:
            return _either(render_type({**_outer(schema, word), **each}) for each in schema[word])
    if "const" in schema:
        return fill("code", text=_value(schema["const"]))
    if "enum" in schema:
        values = sorted(schema["enum"]) if len(schema["enum"]) <= _MOST_VALUES else schema["enum"][:_MOST_VALUES]
        return _either(fill("code", text=_value(each)) for each in values)
    if kind == "array":
        return _render_list(schema)
    if kind == "object":
        return _render_object(schema)
    if kind is None:
        return (
            prose(schema["description"])
            if "description" in schema
            else fill("type", text=schema.get("format", "any value"))
        )
    return join((fill("type", text=kind), _limits(schema)))


def _outer(schema: Schema, word: str) -> dict[str, Any]:
    """Return what a schema says beside its alternatives, which each of them shares."""
    return {name: value for name, value in schema.items() if name not in (word, "description", "title", "default")}


def _either(pieces: Iterator[Markup]) -> Markup:
    """Return alternatives, each of them once."""
    separator = fill("or")
    return Markup(separator.join(dict.fromkeys(pieces)))


def _render_list(schema: Schema) -> Markup:
    places = schema.get("prefixItems")
    if places:
        runs = ((each, len(list(alike))) for each, alike in groupby(render_type(each) for each in places))
        shown = (each if count == 1 else fill("times", count=count, type=each) for each, count in runs)
        return fill("tuple", items=Markup(fill("comma").join(shown)))
    return fill("list-of", items=_item(schema.get("items", {})), limits=_count(schema))


def _item(schema: Schema) -> Markup:
    """Return what each item of a list takes, in parentheses where that is one of several types."""
    several = "anyOf" in schema or "oneOf" in schema or isinstance(schema.get("type"), list)
    return fill("group-of", items=render_type(schema)) if several else render_type(schema)


def _render_object(schema: Schema) -> Markup:
    members = schema.get("properties")
    if members:
        shown = [fill("inline-member", name=name, type=render_type(each)) for name, each in members.items()]
        if len(shown) > _MOST_VALUES:
            shown = [*shown[:_MOST_VALUES], fill("type", text=f"and {len(members) - _MOST_VALUES} more")]
        return fill("inline", members=Markup(fill("comma").join(shown)))
    values = schema.get("additionalProperties")
    return fill("map-of", items=_item(values)) if values else fill("type", text="object")


def _count(schema: Schema) -> Markup:
    """Return how many items a list has."""
    least, most = schema.get("minItems"), schema.get("maxItems")
    if least is None and most is None:
        return Markup()
    if least == most:
        return fill("limits", text=f", exactly {least}")
    words = [f"at least {least:,}" if least else "", f"at most {most:,}" if most is not None else ""]
    return fill("limits", text="".join(f", {each}" for each in words if each))


def _limits(schema: Schema) -> Markup:
    """Return what a value is bound by."""
    kinds = {"string": ("pattern", "format"), "null": ()}
    allowed = kinds.get(schema["type"])
    found = [
        words.format(_value(schema[name]) if not isinstance(schema[name], str) else schema[name])
        for name, words in _LIMITS
        if name in schema and (allowed is None or name in allowed)
    ]
    return fill("limits", text=f" {', '.join(found)}") if found else Markup()


def _value(value: Any) -> str:
    """Return a value as JSON, a number in few digits."""
    if isinstance(value, float):
        return f"{value:.7g}"
    return msgspec.json.encode(value).decode()


def _render_members(name: str, schema: Schema) -> Markup:
    required = schema.get("required", ())
    rows = (
        fill(
            "member",
            name=member,
            required=fill("required") if member in required else Markup(),
            type=render_type(each),
            description=describe(each),
        )
        for member, each in schema["properties"].items()
    )
    return fill("members", name=name, rows=join(rows))


def describe(schema: Schema) -> Markup:
    """Return what a schema says in words, and its default."""
    text = schema.get("description", "") if "type" in schema or "anyOf" in schema else ""
    if "default" in schema and schema["default"] is not None:
        text = f"{text} Default: `{_value(schema['default'])}`.".strip()
    return prose(text)
