"""The home page: what this is, what it serves, and how to call it."""

import html
import json
from typing import Any

import msgspec

from runtime.examples import TICKER, example_bodies
from runtime.model import Model

ROUTES = (
    ("GET", "/", "this page; JSON for clients that do not ask for HTML"),
    ("GET", "/health", "readiness; /health/live and /health/ready apart"),
    ("GET", "/model/info", "the model, its features and its certificate"),
    ("POST", "/predict", "one row in, one prediction out"),
    ("GET", "/predict/demo", "a prediction on the example in the model file"),
    ("POST", "/predict/batch", "many rows in, as many predictions out"),
    ("POST", "/predict/bars", "daily bars in, the prediction for the newest one out; ?all=true for every bar"),
    ("PUT", "/symbols/{ticker}/bars", "hold a symbol's history, then POST one new bar at a time to the same path"),
    ("GET", "/symbols/{ticker}", "what is held of a symbol; DELETE forgets it"),
    ("GET", "/v2", "the Open Inference Protocol, version 2, for clients that speak it; this is its server metadata"),
    ("GET", "/openapi.json", "this API, described as OpenAPI 3.1"),
    ("GET", "/metrics", "Prometheus metrics of all workers"),
    ("POST", "/reload", "verify the model file as it is now, then serve it in all workers"),
)


def describe_service(model: Model) -> dict[str, Any]:
    """Return what the home page says, as data."""
    card = model.card
    return {
        "service": "tickline",
        "description": "Market bars in, an UP/DOWN probability out, in microseconds.",
        "model": {"name": card.name, "version": card.version, "labels": card.labels, "features": card.feature_names},
        "routes": [
            {"method": method, "path": path, "what": what, "example": _example(model, method, path)}
            for method, path, what in ROUTES
        ],
    }


def _example(model: Model, method: str, path: str) -> str:
    """Return a command that calls a route."""
    command = f"curl -s http://localhost:5000{path.format(ticker=TICKER)}"
    body = example_bodies(model).get((method, path))
    if body is None:
        return command if method == "GET" else f"{command} -X {method}"
    if method != "POST":
        command += f" -X {method}"
    return f"{command} -H 'Content-Type: application/json' -d '{msgspec.json.encode(body).decode()}'"


def render_home(model: Model) -> str:
    """Return the home page as HTML without any external asset."""
    card, certificate, replay = model.card, model.predictor.certificate, model.predictor.replay
    routes = "".join(
        f"<h3><code>{route['method']} {route['path']}</code></h3><p>{html.escape(route['what'])}</p>"
        f"<pre>{html.escape(route['example'])}</pre>"
        for route in describe_service(model)["routes"]
    )
    facts = {
        "Model": f"{card.name} {card.version}",
        "Classes": ", ".join(card.labels),
        "Features": f"{len(card.feature_names)}: {', '.join(card.feature_names)}",
        "Certificate": f"{replay.rows} golden rows of {certificate.reference} replayed, largest difference "
        f"{replay.max_probability_difference:.1e}, allowed {certificate.tolerance:.0e}",
        "SHA-256": model.predictor.sha256,
    }
    rows = "".join(f"<tr><th scope=row>{name}<td>{html.escape(fact)}" for name, fact in facts.items())
    metrics = card.training.get("metrics", {})
    training = f"<h2>Training</h2><pre>{html.escape(json.dumps(metrics, indent=2))}</pre>" if metrics else ""
    return _PAGE.format(facts=rows, routes=routes, training=training)


_PAGE = """<!doctype html>
<html lang=en>
<meta charset=utf-8>
<meta name=viewport content="width=device-width,initial-scale=1">
<title>Tickline</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
pre {{ overflow-x: auto; padding: .75rem; border: 1px solid #8886; border-radius: .5rem }}
th {{ text-align: left; vertical-align: top; padding-right: 1.5rem; white-space: nowrap }}
td {{ overflow-wrap: anywhere }}
</style>
<main>
<h1>Tickline</h1>
<p>Market bars in, an UP/DOWN probability out, in microseconds.</p>
<h2>Model</h2>
<table>{facts}</table>
{training}
<h2>Routes</h2>
{routes}
</main>
</html>
"""
