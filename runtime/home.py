"""The home page: what this is, the served model, how to call it, and how it does right now."""

from collections.abc import Mapping
from typing import Any

from features_fast import FEATURES, WARM_UP
from runtime.address import HOST
from runtime.curl import write_commands
from runtime.examples import example_row
from runtime.markup import Markup, fill, join, prose
from runtime.model import Model
from runtime.offer import offer_bars
from runtime.openapi import anchor, grouped
from runtime.selfcheck import SelfCheck
from runtime.settings import Settings
from runtime.training_facts import render_training

DESCRIPTION = "Market bars in, an UP/DOWN probability out, in microseconds."

_MOST_FIELDS = 64
"""Features that have a field each in the form; more of them share one."""
_LONGEST = 200
"""Characters that a page shows of one text of a model file."""

Document = Mapping[str, Any]
"""An OpenAPI document."""


def describe_service(model: Model, settings: Settings, document: Document) -> dict[str, Any]:
    """Return what the home page says, as data."""
    card = model.card
    return {
        "service": "tickline",
        "description": DESCRIPTION,
        "model": {"name": card.name, "version": card.version, "labels": card.labels, "features": card.feature_names},
        "routes": [
            {"method": method, "path": path, "what": operation["summary"], "example": command}
            for _, operations in grouped(document)
            for method, path, operation in operations
            for _, command in list(write_commands(method, path, operation, settings.metrics_port))[:1]
        ],
    }


def render_home(model: Model, settings: Settings, check: SelfCheck, document: Document) -> Markup:
    """Return the content of the home page.

    Parameters
    ----------
    model : Model
        The served model. Its card may say anything: all of it is escaped, and long texts are cut.
    settings : Settings
        The server's settings.
    check : SelfCheck
        What the worker found when it started.
    document : mapping
        The OpenAPI document of the model.
    """
    card, predictor = model.card, model.predictor
    width = len(card.feature_names)
    offer = offer_bars(card.feature_specification)
    has_tokens = settings.has_predict_tokens
    return fill(
        "home",
        name=clip(card.name),
        version=clip(card.version),
        golden=f"{predictor.replay.rows:,}",
        difference=f"{predictor.replay.max_probability_difference:.1e}",
        engine=f"{predictor.engine.name} {predictor.engine.version}".strip(),
        reason=predictor.choice.reason,
        width=width,
        bars=f"{WARM_UP + 1} daily bars or more" if offer.offered else "nothing else: it takes no bars",
        workers=_count(check.workers, "worker"),
        machine=_describe_machine(check),
        token=fill("token") if has_tokens else Markup(),
        token_note=fill("token-note") if has_tokens else Markup(),
        inputs=_render_inputs(model),
        csv=(fill("csv", warm_up=WARM_UP + 1) if offer.offered else fill("no-csv", reason=offer.reason)),
        metrics_port=settings.metrics_port or "",
        live=_render_live(settings),
        live_note=Markup() if settings.metrics_port else fill("live-note"),
        facts=_render_facts(model),
        training=render_training(card),
        features=_render_features(model),
        groups=join(_render_groups(settings, document)),
    )


def clip(text: str) -> str:
    """Shorten a text that a model file may have made as long as it likes."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"


def _describe_machine(check: SelfCheck) -> str:
    """Return in a few words what the server may use."""
    quota = "" if check.cpu_quota is None else f", quota {check.cpu_quota:g}"
    return f"{_count(check.cores, 'core')}{quota}, {check.lane} lane"


def _render_inputs(model: Model) -> Markup:
    """Return a field for every feature, with the value of the example in the model file."""
    names, row = model.card.feature_names, [f"{value:.6g}" for value in example_row(model)]
    if len(names) > _MOST_FIELDS:
        return fill("one-input", width=len(names), values=", ".join(row))
    fields = (
        fill("input", index=index, name=clip(name), value=value)
        for index, (name, value) in enumerate(zip(names, row, strict=True))
    )
    return fill("inputs", fields=join(fields))


def _render_live(settings: Settings) -> Markup:
    port = settings.metrics_port
    return fill("live-elsewhere", port=port, host=HOST) if port else fill("live")


def _render_facts(model: Model) -> Markup:
    """Return what is served, fact by fact."""
    card, predictor = model.card, model.predictor
    certificate, replay = predictor.certificate, predictor.replay
    labels = ", ".join(card.labels[:_MOST_FIELDS])
    facts = {
        "Model": f"{clip(card.name)} {clip(card.version)}",
        "Exported": clip(card.created),
        "Classes": clip(labels),
        "Certificate": (
            f"{replay.rows:,} golden rows of {clip(certificate.reference)} replayed when the model was loaded: "
            f"largest difference {replay.max_probability_difference:.1e}, allowed {certificate.tolerance:.0e}, "
            f"{_count(replay.label_flips, 'label flip')}"
        ),
        "At export": (
            f"{certificate.compared_rows:,} rows compared: largest difference "
            f"{certificate.max_probability_difference:.1e}, {_count(certificate.label_flips, 'label flip')}"
        ),
        "Engine": f"{predictor.engine.name} {predictor.engine.version}: {clip(predictor.choice.detail)}",
        "SHA-256": predictor.sha256,
    }
    return join(fill("fact", name=name, value=value) for name, value in facts.items())


def _render_features(model: Model) -> Markup:
    """Return a row for every feature, with its definition where it is one of ours."""
    ours = offer_bars(model.card.feature_specification).offered
    formulas = {feature.name: feature.formula for feature in FEATURES} if ours else {}
    names = model.card.feature_names[:_MOST_FIELDS]
    return join(
        fill("feature", index=index, name=clip(name), formula=formulas.get(name, ""))
        for index, name in enumerate(names)
    )


def _render_groups(settings: Settings, document: Document) -> list[Markup]:
    """Return every route with a command that calls it, grouped as the API reference groups them."""
    groups = []
    for tag, operations in grouped(document):
        routes = []
        for method, path, operation in operations:
            _, command = next(write_commands(method, path, operation, settings.metrics_port))
            routes.append(
                fill(
                    "route",
                    method=method,
                    kind=method.lower(),
                    path=path,
                    what=prose(operation["summary"]),
                    example=fill("example", text=command),
                    anchor=operation["operationId"],
                )
            )
        name, description = tag["name"], tag["description"]
        identity = f"routes-{anchor(name)}"
        groups.append(
            fill("group", id=identity, name=name[:1].upper() + name[1:], description=description, routes=join(routes))
        )
    return groups
