"""The API reference as a page: all of an OpenAPI document, readable without a script."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from runtime.curl import write_commands
from runtime.markup import Markup, fill, join, prose
from runtime.openapi import Operation, anchor, grouped
from runtime.schema_text import describe, render_schema, render_type, schema_id

Piece = Mapping[str, Any]


def render_reference(document: Piece, metrics_port: int = 0) -> Markup:
    """Return the content of the page.

    Parameters
    ----------
    document : mapping
        An OpenAPI document of ours.
    metrics_port : int
        Port of `/metrics` where it has one of its own, else 0.
    """
    lead, _, more = document["info"]["description"].partition("\n\n")
    groups = grouped(document)
    schemas = document["components"]["schemas"]
    return fill(
        "reference",
        contents=join(_render_contents(groups, schemas)),
        lead=lead,
        introduction=_paragraphs(more),
        openapi=document["openapi"],
        security=_render_security(document["components"].get("securitySchemes", {})),
        tags=join(
            fill(
                "tag",
                id=_tag_id(tag),
                name=_title(tag),
                description=tag["description"],
                operations=join(_render_operation(operation, metrics_port) for operation in operations),
            )
            for tag, operations in groups
        ),
        schemas=join(render_schema(name, schema) for name, schema in sorted(schemas.items())),
    )


def _tag_id(tag: Piece) -> str:
    return f"tag-{anchor(tag['name'])}"


def _title(tag: Piece) -> str:
    name: str = tag["name"]
    return name[:1].upper() + name[1:]


def _paragraphs(text: str) -> Markup:
    return join(fill("paragraph", text=prose(part)) for part in text.split("\n\n") if part)


def _render_contents(groups: Sequence[tuple[Piece, list[Operation]]], schemas: Piece) -> Iterator[Markup]:
    for tag, operations in groups:
        entries = (
            fill("contents-entry", id=operation["operationId"], kind=method.lower(), method=method, path=path)
            for method, path, operation in operations
        )
        yield fill("contents-group", id=_tag_id(tag), name=_title(tag), entries=join(entries))
    names = (fill("contents-schema", id=schema_id(name), name=name) for name in sorted(schemas))
    yield fill("contents-group", id="schemas", name="Schemas", entries=join(names))


def _render_security(schemes: Piece) -> Markup:
    if not schemes:
        return Markup()
    facts = (fill("fact", name=name, value=scheme["description"]) for name, scheme in schemes.items())
    return fill("security", schemes=join(facts))


def _render_operation(described: Operation, metrics_port: int) -> Markup:
    method, path, operation = described
    title = f"{method} {path}"
    tokens = (name for requirement in operation.get("security", ()) for name in requirement)
    return fill(
        "operation",
        id=operation["operationId"],
        kind=method.lower(),
        method=method,
        path=path,
        summary=prose(f"{operation['summary']}."),
        description=_paragraphs(operation.get("description", "")),
        token=join(fill("needs-token", name=name) for name in tokens),
        parameters=_render_parameters(title, operation.get("parameters", ())),
        body=_render_body(operation.get("requestBody")),
        commands=_render_commands(list(write_commands(method, path, operation, metrics_port))),
        replies=_render_replies(title, operation["responses"]),
    )


def _render_parameters(title: str, parameters: list[Piece]) -> Markup:
    if not parameters:
        return Markup()
    rows = (
        fill(
            "parameter",
            name=parameter["name"],
            required=fill("required") if parameter.get("required") else Markup(),
            place=parameter["in"],
            type=render_type(parameter["schema"]),
            description=join((prose(parameter["description"] + " "), describe(parameter["schema"]))),
        )
        for parameter in parameters
    )
    return fill("parameters", title=title, rows=join(rows))


def _render_body(body: Piece | None) -> Markup:
    if body is None:
        return Markup()
    media = (
        fill("media", type=kind, schema=render_type(content["schema"])) for kind, content in body["content"].items()
    )
    return fill("body", media=join(media))


def _render_commands(commands: list[tuple[str, str]]) -> Markup:
    """Return the first command at once, and the others folded."""
    (_, first), *others = commands
    shown = [fill("example", text=first)]
    for name, command in others:
        example = fill("example", text=command)
        shown.append(fill("more-commands", name=f"The same by {name}", command=example))
    return fill("commands", commands=join(shown))


def _render_replies(title: str, responses: Piece) -> Markup:
    rows, example = [], Markup()
    for status, reply in sorted(responses.items()):
        content = reply.get("content", {})
        rows.append(
            fill(
                "reply",
                **{"class": status[0]},
                status=status,
                description=prose(reply["description"]),
                headers=fill("reply-headers", names=", ".join(reply["headers"])) if "headers" in reply else Markup(),
                content=join(
                    fill("reply-content", type=kind, schema=render_type(media["schema"]))
                    for kind, media in content.items()
                ),
            )
        )
        for media in content.values():
            if "example" in media:
                text = msgspec.json.format(msgspec.json.encode(media["example"]), indent=2).decode()
                example = fill("reply-example", text=text, title=title)
    return fill("replies", title=title, rows=join(rows), example=example)
